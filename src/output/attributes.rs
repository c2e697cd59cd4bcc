//! What a result takes over from the file or folder that it replaces: owner, mode, extended attributes.

use std::path::Path;

/// Hands them on as far as the system lets us: a result that only its writer may read is better than none.
#[cfg(unix)]
pub(super) fn hand_on(from: &Path, to: &Path) {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{Gid, Uid, chown};

    let (Ok(old), Ok(new)) = (fs::metadata(from), fs::metadata(to)) else { return };
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        let _ = chown(to, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())));
    }
    // A new owner takes bits off the mode.
    let _ = fs::set_permissions(to, old.permissions());
    hand_on_extended(from, to);
}

#[cfg(not(unix))]
pub(super) fn hand_on(_: &Path, _: &Path) {}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
fn hand_on_extended(from: &Path, to: &Path) {
    use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};

    /// What Linux allows for all names, and for one value.
    const MOST_BYTES: usize = 1 << 16;

    let mut names = vec![0u8; MOST_BYTES];
    let Ok(length) = listxattr(from, &mut names[..]) else { return };
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; MOST_BYTES];
        if let Ok(length) = getxattr(from, name, &mut value[..]) {
            let _ = setxattr(to, name, &value[..length], XattrFlags::empty());
        }
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android", target_os = "macos"))))]
fn hand_on_extended(_: &Path, _: &Path) {}
