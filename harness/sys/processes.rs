//! All processes, with few system calls; and whose a socket is (proc(5)).
//!
//! Everything is opened relative to one descriptor of /proc, read into one buffer, and looked at in the order in which
//! it is likely to be found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::read;

use super::cgroup;
use super::listening::Listening;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);
/// Longer command lines are cut there.
const LONGEST: usize = 1 << 17;
/// What a process has open that has opened nothing.
const STANDARD: i64 = 3;

/// /proc, held open.
#[derive(Debug)]
pub struct Proc {
    root: OwnedFd,
}

impl Proc {
    /// Opens /proc.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open() -> io::Result<Proc> {
        Ok(Proc { root: open("/proc", DIRECTORY, Mode::empty())? })
    }

    /// The PIDs of all processes, in ascending order.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let mut pids = numbers(openat(&self.root, ".", DIRECTORY, Mode::empty())?)?;
        pids.sort_unstable();
        Ok(pids)
    }

    /// Tells the command line of every process as the kernel has it, its words ended by NUL each; empty for kernel
    /// threads and zombies. In ascending order of PID.
    ///
    /// # Errors
    ///
    /// What the system says of /proc itself; a process that goes away meanwhile is left out.
    pub fn command_lines(&self, mut tell: impl FnMut(i32, &[u8])) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        let mut path = Path::default();
        for pid in self.pids()? {
            let Ok(fd) = openat(&self.root, path.of(pid, "/cmdline"), FILE, Mode::empty()) else { continue };
            let Ok(mut length) = read(&fd, &mut buffer) else { continue };
            while length == buffer.len() && length < LONGEST {
                buffer.resize(length * 2, 0);
                match read(&fd, buffer.get_mut(length..).unwrap_or_default()) {
                    Ok(0) | Err(_) => break,
                    Ok(more) => length += more,
                }
            }
            tell(pid, buffer.get(..length).unwrap_or_default());
        }
        Ok(())
    }

    /// The inodes of a process's sockets that are among these, told as they are found until `tell` says that it is
    /// enough; `EACCES` if its descriptors are not ours to see.
    fn sockets(&self, pid: i32, wanted: &HashMap<Vec<u8>, u64>, tell: &mut dyn FnMut(u64)) -> Result<(), Errno> {
        let mut path = Path::default();
        let mut directory = Dir::openat(&self.root, path.of(pid, "/fd"), DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let Ok(entry) = entry else { break };
            if entry.file_name().to_bytes().first() != Some(&b'.') {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in names {
            let Ok(target) = readlinkat(&directory, name.as_c_str()) else { continue };
            if let Some(inode) = wanted.get(target.as_bytes()) {
                tell(*inode);
            }
        }
        Ok(())
    }

    /// The same for a process that has so many descriptors open, by their numbers from 3 on: nearly always they go up
    /// without a gap, and nobody has to list them. What lies beyond a gap, and the standard streams, are not seen.
    fn sockets_by_number(
        &self,
        pid: i32,
        count: i64,
        wanted: &HashMap<Vec<u8>, u64>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), Errno> {
        let mut path = Path::default();
        let mut seen = STANDARD;
        for number in STANDARD..STANDARD.saturating_add(count) {
            match readlinkat(&self.root, path.of_descriptor(pid, number)) {
                Ok(target) => {
                    seen += 1;
                    if let Some(inode) = wanted.get(target.as_bytes()) {
                        tell(*inode);
                    }
                }
                Err(Errno::ENOENT) if seen < count => return self.sockets(pid, wanted, tell),
                Err(Errno::ENOENT) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// How many descriptors a process has open (since Linux 6.2, else 0), and whose it is.
    fn descriptors(&self, pid: i32) -> Option<FileStat> {
        fstatat(&self.root, Path::default().of(pid, "/fd"), AtFlags::empty()).ok()
    }
}

/// A path below /proc, without an allocation for each.
#[derive(Default)]
struct Path {
    text: String,
}

impl Path {
    fn of(&mut self, pid: i32, file: &str) -> &str {
        use std::fmt::Write as _;
        self.text.clear();
        let _ = write!(self.text, "{pid}{file}");
        &self.text
    }

    fn of_descriptor(&mut self, pid: i32, number: i64) -> &str {
        use std::fmt::Write as _;
        self.text.clear();
        let _ = write!(self.text, "{pid}/fd/{number}");
        &self.text
    }
}

/// The names in a directory that are numbers.
fn numbers(directory: OwnedFd) -> io::Result<Vec<i32>> {
    let mut directory = Dir::from_fd(directory)?;
    let mut found = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.first().is_some_and(u8::is_ascii_digit)
            && let Some(number) = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok())
        {
            found.push(number);
        }
    }
    Ok(found)
}

/// Whose sockets are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Inode and PID, in ascending order.
    pub found: BTreeSet<(u64, i32)>,
    /// Of how many processes the descriptors are not ours to see.
    pub hidden: usize,
}

/// Which processes to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// One for each socket: it ends with the last socket that has one.
    First,
    /// All of them.
    All,
}

/// The processes that have these sockets open. If one for each is enough, those of a socket's control group and of its
/// user come first, and those with nothing open but the standard streams come last.
///
/// # Errors
///
/// What the system says of /proc itself.
pub fn owners(proc: &Proc, sockets: &[Listening], search: Search) -> io::Result<Owners> {
    let wanted: HashMap<Vec<u8>, u64> =
        sockets.iter().map(|socket| (format!("socket:[{}]", socket.inode).into_bytes(), socket.inode)).collect();
    let missing = wanted.values().copied().collect();
    let mut hunt = Hunt { proc, wanted, missing, owners: Owners::default() };
    if hunt.missing.is_empty() {
        return Ok(hunt.owners);
    }
    let pids = proc.pids()?;
    if search == Search::First && hunt.by_likelihood(sockets, &pids) {
        return Ok(hunt.owners);
    }
    // All of them, from the beginning: a guess that has not found everybody says nothing about who is hidden.
    hunt.owners.hidden = 0;
    for pid in pids {
        hunt.look(pid, None);
        if search == Search::First && hunt.missing.is_empty() {
            break;
        }
    }
    Ok(hunt.owners)
}

/// A search that goes on.
struct Hunt<'a> {
    proc: &'a Proc,
    /// What a descriptor's link reads for each inode.
    wanted: HashMap<Vec<u8>, u64>,
    /// Inodes without an owner so far.
    missing: HashSet<u64>,
    owners: Owners,
}

impl Hunt<'_> {
    /// Looks at one process, by the number of its descriptors if that is known.
    fn look(&mut self, pid: i32, count: Option<i64>) {
        let (owners, missing) = (&mut self.owners, &mut self.missing);
        let mut tell = |inode| {
            owners.found.insert((inode, pid));
            missing.remove(&inode);
        };
        let seen = match count {
            Some(count) => self.proc.sockets_by_number(pid, count, &self.wanted, &mut tell),
            None => self.proc.sockets(pid, &self.wanted, &mut tell),
        };
        if let Err(Errno::EACCES | Errno::EPERM) = seen {
            self.owners.hidden += 1;
        }
    }

    /// Looks where they are likely to be; whether all were found.
    fn by_likelihood(&mut self, sockets: &[Listening], pids: &[i32]) -> bool {
        let groups: BTreeSet<u64> = sockets.iter().filter_map(|socket| socket.cgroup).collect();
        let likely: Vec<i32> = cgroup::directories(&groups).values().flat_map(|path| cgroup::processes(path)).collect();
        // A group of nearly everybody says nothing.
        if likely.len() < pids.len() / 2 {
            for pid in likely {
                self.look(pid, None);
                if self.missing.is_empty() {
                    return true;
                }
            }
        }
        let users: BTreeSet<u32> = sockets.iter().map(|socket| socket.uid).collect();
        let mut later = Vec::new();
        for &pid in pids {
            let Some(stat) = self.proc.descriptors(pid) else { continue };
            // Kernels before 6.2 do not count.
            let count = Some(stat.st_size).filter(|count| *count > 0);
            if !users.contains(&stat.st_uid) || count.is_some_and(|count| count <= STANDARD) {
                later.push((pid, count));
                continue;
            }
            self.look(pid, count);
            if self.missing.is_empty() {
                return true;
            }
        }
        for (pid, count) in later {
            self.look(pid, count);
            if self.missing.is_empty() {
                return true;
            }
        }
        false
    }
}

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// What the kernel says of one process (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its parent.
    pub ppid: i32,
    /// Its real user.
    pub uid: u32,
    /// Signals that it ignores: bit 0 is signal 1.
    pub ignored: u64,
    /// Signals that it blocks.
    pub blocked: u64,
    /// Signals for which it has a handler.
    pub caught: u64,
}

/// Reads it; `None` if the process is gone, or not to be seen.
pub fn status(pid: i32) -> Option<Status> {
    let text = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mask = |name: &str| field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    Some(Status {
        ppid: field("PPid")?.parse().ok()?,
        uid: field("Uid")?.split_ascii_whitespace().next()?.parse().ok()?,
        ignored: mask("SigIgn"),
        blocked: mask("SigBlk"),
        caught: mask("SigCgt"),
    })
}
