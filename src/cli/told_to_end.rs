//! What the program does when it is told to end: by Ctrl-C, by whoever runs it, or by the terminal that goes.
//!
//! It removes what it has begun to write, and nothing else: outputs are in place whole, or not at all. A signal that
//! whoever started the program had it ignore stays ignored, as `nohup` and the background of a shell want; the others are
//! heard all the same.

use std::process;

use crate::output;

const ENDED_BY_CTRL_C: i32 = 128 + 2;

fn end() -> ! {
    output::abandon();
    process::exit(ENDED_BY_CTRL_C)
}

/// Listens from now on.
#[cfg(unix)]
pub fn leave_nothing_behind() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let ignored = ignored();
    let heard = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let Ok(mut signals) = Signals::new(heard) else { return };
    // Without a thread for it, a signal ends the program as it would any other.
    let listening = std::thread::Builder::new().spawn(move || {
        if signals.forever().next().is_some() {
            end();
        }
    });
    drop(listening);
}

/// The signals that are ignored, a bit for each, the lowest for the first one. Only Linux tells without a system call of
/// its own; elsewhere none is thought to be.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Listens from now on.
#[cfg(not(unix))]
pub fn leave_nothing_behind() {
    drop(ctrlc::try_set_handler(|| end()));
}
