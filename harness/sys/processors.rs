//! The processors of this machine, and which of them a thread is to use.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Those that this thread may use, by number; none where the kernel does not tell.
pub fn usable() -> Vec<usize> {
    let this = Pid::from_raw(0);
    let Ok(set) = sched_getaffinity(this) else { return Vec::new() };
    (0..CpuSet::count()).filter(|processor| set.is_set(*processor).unwrap_or(false)).collect()
}

/// Has this thread, and all processes and threads that it begins, use one processor only. Where that cannot be, they use all.
pub fn keep_to(processor: usize) {
    let mut set = CpuSet::new();
    if set.set(processor).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
