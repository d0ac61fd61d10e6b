//! What the kernel says about processes (/proc, see proc_pid_stat(5) and its siblings).

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::libc;

/// A process as seen in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Host PID.
    pub pid: i32,
    /// Parent's host PID.
    pub ppid: i32,
    /// Process group.
    pub pgrp: i32,
    /// `R`, `S`, `D`, `T`, `Z`, …: the least quiet of its threads.
    pub state: char,
    /// Start time in clock ticks since boot.
    pub start: u64,
    /// How often its threads were put on or off a CPU: equal in two looks means that it did not run in between.
    pub switches: u64,
    /// Threads.
    pub threads: usize,
}

/// Reads state, parent and start time; `None` if the process is gone.
pub fn look(pid: i32) -> Option<Look> {
    let Stat { ppid, pgrp, state, threads, start } = stat(&format!("/proc/{pid}/stat"))?;
    let mut look = Look { pid, ppid, pgrp, state, start, switches: 0, threads: 0 };
    if threads == 1 {
        look.threads = 1;
        match timeslices(pid) {
            Some(slices) => look.switches = slices,
            None => look.add_thread(&read_small(format!("/proc/{pid}/status"))?),
        }
        return Some(look);
    }
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        if let Some(status) = read_small(task.path().join("status")) {
            look.threads += 1;
            look.add_thread(&status);
        }
    }
    Some(look)
}

impl Look {
    /// What proc_pid_status(5) says of one of its threads.
    fn add_thread(&mut self, status: &str) {
        for line in status.lines() {
            if let Some(rest) = line.strip_prefix("State:") {
                let state = rest.trim_start().chars().next().unwrap_or('?');
                if matches!(state, 'R' | 'D') {
                    self.state = state;
                }
            } else if line.contains("ctxt_switches") {
                self.switches += line.rsplit('\t').next().and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0);
            }
        }
    }
}

/// How often the only thread of a process was put on a CPU (/proc/PID/schedstat), which takes the kernel a tenth of the time
/// that its `status` does. `None` where the kernel does not count that.
fn timeslices(pid: i32) -> Option<u64> {
    let text = read_small(format!("/proc/{pid}/schedstat"))?;
    text.split_ascii_whitespace().nth(2)?.parse().ok().filter(|count| *count > 0)
}

/// The host PID of the parent.
pub fn parent(pid: i32) -> Option<i32> {
    stat(&format!("/proc/{pid}/stat")).map(|stat| stat.ppid)
}

/// A file that the kernel makes up when it is read. It has no size to ask for, and one read nearly always has it all:
/// these files are read thousands of times in a run.
fn read_small(path: impl AsRef<std::path::Path>) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let mut buffer = [0; 4096];
    let count = file.read(&mut buffer).ok()?;
    let mut bytes = buffer[..count].to_vec();
    // The kernel gives whole lines, and may keep back what no longer fits.
    if count > buffer.len() / 2 {
        file.read_to_end(&mut bytes).ok()?;
    }
    Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

struct Stat {
    ppid: i32,
    pgrp: i32,
    state: char,
    threads: usize,
    start: u64,
}

fn stat(path: &str) -> Option<Stat> {
    let text = read_small(path)?;
    // The name stands in parentheses and may hold anything; the last one closes it.
    let rest = text.get(text.rfind(')')? + 2..)?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgrp = fields.next()?.parse().ok()?;
    let threads = fields.nth(14)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    Some(Stat { ppid, pgrp, state, threads, start })
}

/// The children of a process, in order of PID.
pub fn children(pid: u32) -> Vec<i32> {
    let tasks = format!("/proc/{pid}/task");
    let mut found = Vec::new();
    let mut add = |task: &str| {
        let text = read_small(format!("{tasks}/{task}/children"))?;
        found.extend(text.split_ascii_whitespace().filter_map(|n| n.parse::<i32>().ok()));
        Some(())
    };
    // The directory's links tell how many threads there are: itself, its parent and one for each.
    let Ok(threads) = fs::metadata(&tasks).map(|tasks| tasks.nlink().saturating_sub(2)) else { return Vec::new() };
    let all = if threads == 1 {
        add(&pid.to_string())
    } else {
        let Ok(entries) = fs::read_dir(&tasks) else { return Vec::new() };
        entries.flatten().try_for_each(|task| add(task.file_name().to_str()?))
    };
    // A kernel without that file: look at everybody's parent.
    if all.is_none() {
        return children_by_scan(pid);
    }
    found.sort_unstable();
    found
}

fn children_by_scan(pid: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|candidate| {
            stat(&format!("/proc/{candidate}/stat")).is_some_and(|stat| stat.ppid.unsigned_abs() == pid)
        })
        .collect();
    found.sort_unstable();
    found
}

/// All descendants, parents before their children.
pub fn descendants(pid: u32) -> Vec<i32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        next += 1;
        let below = children(parent.unsigned_abs());
        found.extend(below);
    }
    found
}

/// The command line, blank separated; empty for kernel threads and zombies.
pub fn cmdline(pid: i32) -> String {
    argv(pid).join(" ").trim_end().to_owned()
}

/// The arguments; none for kernel threads and zombies.
pub fn argv(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let Some(bytes) = bytes.strip_suffix(b"\0").or(Some(&bytes)).filter(|bytes| !bytes.is_empty()) else {
        return Vec::new();
    };
    bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// How the process is numbered in its own namespace of PIDs (proc_pid_status(5), `NSpid`).
pub fn innermost_pid(pid: i32) -> Option<u32> {
    let status = read_small(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().next_back()?.parse().ok()
}

/// When a process was begun, in microseconds of real time since 1970. The kernel knows it to the hundredth of a second;
/// this is the middle of that.
pub fn born(pid: i32) -> Option<u64> {
    let ticks = look(pid)?.start;
    let up = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let up = u64::try_from(up.tv_sec()).ok()? * 1_000_000 + u64::try_from(up.tv_nsec()).ok()? / 1000;
    // proc_pid_stat(5): in clock ticks since the boot, of which a second has a hundred wherever Linux runs.
    let age = up.saturating_sub(ticks * 10_000 + 5_000);
    Some(super::real_time().saturating_sub(age))
}

/// The kernel's name of a process.
pub fn comm(pid: i32) -> String {
    read_small(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// The descriptors of a process that are sockets, in order: number, and what [`super::socket::inode`] tells.
pub fn sockets(pid: i32) -> Vec<(i32, u64)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let mut found: Vec<(i32, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((number, inode))
        })
        .collect();
    found.sort_unstable();
    found
}

/// A variable of a process's environment as it was at its exec.
pub fn environment(pid: i32, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
    bytes
        .split(|b| *b == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// All processes that one may look into and whose environment holds this setting.
pub fn with_environment(name: &str, value: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| environment(*pid, name).is_some_and(|found| found == value))
        .collect()
}

/// A process of one thread that is often asked about.
#[derive(Debug)]
pub struct Asleep(fs::File);

impl Asleep {
    /// `None` if the process is gone, or nobody may look into it.
    pub fn open(pid: i32) -> Option<Asleep> {
        fs::File::open(format!("/proc/{pid}/wchan")).ok().map(Asleep)
    }

    /// Whether it sleeps in poll(2), and nothing has happened that ends this. The kernel names the function that a thread
    /// sleeps in only once it has left its CPU, and no longer as soon as somebody wakes it. (/proc/PID/syscall is not that
    /// exact: it shows a thread that another CPU is about to wake.)
    pub fn in_poll(&self) -> bool {
        let mut buffer = [0; 64];
        let count = self.0.read_at(&mut buffer, 0).unwrap_or(0);
        memchr::memmem::find(&buffer[..count], b"poll").is_some()
    }
}

/// What a sleeping process waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The end of a child, or a signal.
    Child,
    /// The other end of a pipe.
    Pipe,
    /// A system call that may hold a timer of its own, by name or number.
    Other(String),
}

/// What the process sleeps in. Only meaningful in state `S`.
pub fn waits_for(pid: i32) -> Option<WaitsFor> {
    if let Some(text) = read_small(format!("/proc/{pid}/syscall")) {
        let mut fields = text.split_ascii_whitespace();
        let first = fields.next()?;
        if let Ok(number) = first.parse::<i64>() {
            let fd = fields.next().and_then(|arg| i64::from_str_radix(arg.trim_start_matches("0x"), 16).ok());
            return Some(classify(pid, number, fd));
        }
        // "running": it is not asleep after all.
        return None;
    }
    // Not permitted to see the call: the kernel function it sleeps in says nearly as much.
    let function = read_small(format!("/proc/{pid}/wchan"))?;
    Some(match function.as_str() {
        "do_wait" | "sigsuspend" | "do_sigsuspend" | "rt_sigsuspend" => WaitsFor::Child,
        name if name.contains("pipe") => WaitsFor::Pipe,
        name => WaitsFor::Other(name.to_owned()),
    })
}

fn classify(pid: i32, number: i64, fd: Option<i64>) -> WaitsFor {
    let is = |call: libc::c_long| number == call;
    if is(libc::SYS_wait4) || is(libc::SYS_waitid) || is(libc::SYS_rt_sigsuspend) || is_pause(number) {
        return WaitsFor::Child;
    }
    if is(libc::SYS_read) || is(libc::SYS_readv) || is(libc::SYS_write) || is(libc::SYS_writev) {
        let target = fd.and_then(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok());
        if target.is_some_and(|path| path.to_string_lossy().starts_with("pipe:")) {
            return WaitsFor::Pipe;
        }
    }
    // flock(2) and futex(2) without a timeout end only by what others do.
    if is(libc::SYS_flock) {
        return WaitsFor::Pipe;
    }
    let name = [
        (libc::SYS_clock_nanosleep, "clock_nanosleep"),
        (libc::SYS_nanosleep, "nanosleep"),
        (libc::SYS_futex, "futex"),
        (libc::SYS_ppoll, "ppoll"),
        (libc::SYS_pselect6, "pselect6"),
        (libc::SYS_epoll_pwait, "epoll_pwait"),
        (libc::SYS_accept4, "accept4"),
        (libc::SYS_recvfrom, "recvfrom"),
        (libc::SYS_read, "read"),
    ]
    .into_iter()
    .find(|(call, _)| is(*call))
    .map_or_else(|| named_on_x86_64(number), |(_, name)| name.to_owned());
    WaitsFor::Other(name)
}

#[cfg(target_arch = "x86_64")]
fn is_pause(number: i64) -> bool {
    number == libc::SYS_pause
}

#[cfg(not(target_arch = "x86_64"))]
fn is_pause(_: i64) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn named_on_x86_64(number: i64) -> String {
    [
        (libc::SYS_poll, "poll"),
        (libc::SYS_select, "select"),
        (libc::SYS_epoll_wait, "epoll_wait"),
        (libc::SYS_accept, "accept"),
    ]
    .into_iter()
    .find(|(call, _)| *call == number)
    .map_or_else(|| format!("system call {number}"), |(_, name)| name.to_owned())
}

#[cfg(not(target_arch = "x86_64"))]
fn named_on_x86_64(number: i64) -> String {
    format!("system call {number}")
}
