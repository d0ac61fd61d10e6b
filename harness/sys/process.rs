//! What the kernel says about processes (/proc, see proc_pid_stat(5) and its siblings).

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering};

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
    Watch::new(pid).look()
}

/// The slow way, which knows threads.
fn look_at_threads(pid: i32, stat: &Stat) -> Option<Look> {
    let mut look = stat.look(pid, 0);
    if stat.threads == 1 {
        look.add_thread(&read_small(format!("/proc/{pid}/status"))?);
        return Some(look);
    }
    look.threads = 0;
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
fn timeslices(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(2)?.parse().ok().filter(|count| *count > 0)
}

/// The host PID of the parent.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid).map(|stat| stat.ppid)
}

/// A file that the kernel makes up when it is read.
fn read_small(path: impl AsRef<std::path::Path>) -> Option<String> {
    read_at_once(&fs::File::open(path).ok()?)
}

/// The text of such a file. It has no size to ask for, and one read nearly always has it all: these files are read
/// thousands of times in a run.
fn read_at_once(file: &fs::File) -> Option<String> {
    let mut buffer = [0; 4096];
    let count = file.read_at(&mut buffer, 0).ok()?;
    let mut bytes = buffer[..count].to_vec();
    // The kernel gives whole lines, and may keep back what no longer fits.
    let mut last = if count > buffer.len() / 2 { count } else { 0 };
    while last > 0 {
        last = file.read_at(&mut buffer, bytes.len() as u64).ok()?;
        bytes.extend_from_slice(&buffer[..last]);
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

impl Stat {
    fn look(&self, pid: i32, switches: u64) -> Look {
        let Stat { ppid, pgrp, state, threads, start } = *self;
        Look { pid, ppid, pgrp, state, start, switches, threads }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&read_small(format!("/proc/{pid}/stat"))?)
}

fn parse_stat(text: &str) -> Option<Stat> {
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
    let mut found = String::new();
    let mut add = |task: &str| {
        found += &read_small(format!("{tasks}/{task}/children"))?;
        found.push(' ');
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
    if all.is_none() { children_by_scan(pid) } else { in_order(&found) }
}

fn in_order(pids: &str) -> Vec<i32> {
    let mut found: Vec<i32> = pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    found.sort_unstable();
    found
}

fn children_by_scan(pid: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|candidate| stat(*candidate).is_some_and(|stat| stat.ppid.unsigned_abs() == pid))
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

/// So many files of processes stay open at most, in all runs of this process together.
const KEPT: usize = 256;

/// How many do.
static KEEPING: AtomicUsize = AtomicUsize::new(0);

/// A file that stays open, within [`KEPT`].
#[derive(Debug)]
struct Kept(fs::File);

impl Kept {
    /// `None` where there is no room.
    fn new(file: fs::File) -> Option<Kept> {
        let room = KEEPING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < KEPT).then_some(open + 1));
        room.is_ok().then(|| Kept(file))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEEPING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process that is looked at again and again: to open its files in /proc takes longer than to read them.
#[derive(Debug)]
pub struct Watch {
    pid: i32,
    stat: Option<Kept>,
    schedstat: Option<Kept>,
    syscall: Option<Kept>,
    children: Option<Kept>,
    wchan: Option<Kept>,
}

impl Watch {
    /// Of whoever has this PID at the first look. Once that one is gone, so is whatever there is to see.
    pub fn new(pid: i32) -> Watch {
        Watch { pid, stat: None, schedstat: None, syscall: None, children: None, wchan: None }
    }

    /// As [`look`].
    pub fn look(&mut self) -> Option<Look> {
        let pid = self.pid;
        let stat = parse_stat(&read_kept(&mut self.stat, || format!("/proc/{pid}/stat"))?)?;
        if stat.threads != 1 {
            return look_at_threads(pid, &stat);
        }
        match read_kept(&mut self.schedstat, || format!("/proc/{pid}/schedstat")).and_then(|text| timeslices(&text)) {
            Some(switches) => Some(stat.look(pid, switches)),
            None => look_at_threads(pid, &stat),
        }
    }

    /// What it sleeps in. Only meaningful in state `S`.
    pub fn waits_for(&mut self) -> Option<WaitsFor> {
        let pid = self.pid;
        match read_kept(&mut self.syscall, || format!("/proc/{pid}/syscall")) {
            Some(text) => waits_in(pid, &text),
            None => waits_by_function(pid),
        }
    }

    /// As [`children`], of one that has so many threads.
    pub fn children(&mut self, threads: usize) -> Vec<i32> {
        let pid = self.pid;
        let own = || format!("/proc/{pid}/task/{pid}/children");
        match (threads == 1).then(|| read_kept(&mut self.children, own)).flatten() {
            Some(text) => in_order(&text),
            None => children(pid.unsigned_abs()),
        }
    }

    /// Whether its only thread sleeps in poll(2), and nothing has happened that ends this. The kernel names the function that
    /// a thread sleeps in only once it has left its CPU, and no longer as soon as somebody wakes it. (/proc/PID/syscall is
    /// not that exact: it shows a thread that another CPU is about to wake.)
    pub fn sleeps_in_poll(&mut self) -> bool {
        let pid = self.pid;
        read_kept(&mut self.wchan, || format!("/proc/{pid}/wchan")).is_some_and(|function| function.contains("poll"))
    }
}

/// What a file says now, which stays open if there is room.
fn read_kept(kept: &mut Option<Kept>, path: impl FnOnce() -> String) -> Option<String> {
    if let Some(Kept(file)) = kept {
        return read_at_once(file);
    }
    let file = fs::File::open(path()).ok()?;
    let text = read_at_once(&file)?;
    *kept = Kept::new(file);
    Some(text)
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

/// What the process sleeps in, by its /proc/PID/syscall. `None`: it is not asleep after all.
fn waits_in(pid: i32, syscall: &str) -> Option<WaitsFor> {
    let mut fields = syscall.split_ascii_whitespace();
    let number = fields.next()?.parse().ok()?;
    let fd = fields.next().and_then(|arg| i64::from_str_radix(arg.trim_start_matches("0x"), 16).ok());
    Some(classify(pid, number, fd))
}

/// The same where one is not permitted to see the call: the kernel's function that it sleeps in says nearly as much.
fn waits_by_function(pid: i32) -> Option<WaitsFor> {
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
