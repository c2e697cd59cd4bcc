//! Device names as `tf.device` spells them.

use super::Builder;
use crate::error::Result;

impl Builder<'_> {
    /// Runs `body` with new nodes requesting `device`, as inside `tf.device(device)`.
    ///
    /// # Errors
    /// Those of `body`.
    pub(crate) fn with_device<T>(&mut self, device: &str, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.device, canonical(device));
        let result = body(self);
        self.device = outer;
        result
    }
}

/// The name in the order and spelling of `DeviceSpec.to_string`; one that is no device name stays as it is.
fn canonical(device: &str) -> String {
    parse(device).unwrap_or_else(|| device.to_owned())
}

fn parse(device: &str) -> Option<String> {
    let (mut job, mut replica, mut task, mut kind) = (None, None, None, None);
    for part in device.split('/').filter(|part| !part.is_empty()) {
        let fields: Vec<&str> = part.split(':').collect();
        match *fields.as_slice() {
            ["job", name] => job = Some(name),
            ["replica", number] => replica = Some(number.parse::<u32>().ok()?),
            ["task", number] => task = Some(number.parse::<u32>().ok()?),
            [name] if is_plain(name) => kind = Some((name.to_uppercase(), "*")),
            [name, number] if is_plain(name) => kind = Some((name.to_uppercase(), number)),
            ["device", name, number] => kind = Some((name.to_owned(), number)),
            _ => return None,
        }
    }
    let kind = match kind {
        Some((kind, "*")) => Some(format!("{kind}:*")),
        Some((kind, number)) => Some(format!("{kind}:{}", number.parse::<u32>().ok()?)),
        None => None,
    };
    let parts = [
        ("job", job.map(str::to_owned)),
        ("replica", replica.map(|number| number.to_string())),
        ("task", task.map(|number| number.to_string())),
        ("device", kind),
    ];
    let named = parts.into_iter().filter_map(|(name, value)| Some(format!("/{name}:{}", value?)));
    Some(named.collect())
}

fn is_plain(name: &str) -> bool {
    name.eq_ignore_ascii_case("cpu") || name.eq_ignore_ascii_case("gpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_spellings_become_the_full_one() {
        assert_eq!(canonical(""), "");
        assert_eq!(canonical("/gpu:0"), "/device:GPU:0");
        assert_eq!(canonical("/CPU"), "/device:CPU:*");
        assert_eq!(canonical("/task:1/job:worker/device:GPU:3"), "/job:worker/task:1/device:GPU:3");
        assert_eq!(canonical("/device:XLA_GPU:0"), "/device:XLA_GPU:0");
        assert_eq!(canonical("nonsense"), "nonsense");
    }
}
