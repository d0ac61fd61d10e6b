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
    /// Of how many processes the descriptors were looked at.
    pub looked_at: usize,
}

/// Which processes to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// One for each socket: it ends with the last socket that has one.
    First,
    /// All of them.
    All,
}

/// The processes that have these sockets open. Those of a socket's control group and of its user come first, and those
/// with nothing open but the standard streams come last.
///
/// # Errors
///
/// What the system says of /proc itself.
pub fn owners(proc: &Proc, sockets: &[Listening], search: Search) -> io::Result<Owners> {
    let mut owners = Owners::default();
    let wanted: HashMap<Vec<u8>, u64> =
        sockets.iter().map(|socket| (format!("socket:[{}]", socket.inode).into_bytes(), socket.inode)).collect();
    let mut missing: HashSet<u64> = wanted.values().copied().collect();
    if missing.is_empty() {
        return Ok(owners);
    }
    let mut looked = HashSet::new();
    let mut look = |pids: &[i32], owners: &mut Owners| {
        for &pid in pids {
            if search == Search::First && missing.is_empty() {
                return true;
            }
            if !looked.insert(pid) {
                continue;
            }
            let seen = proc.sockets(pid, &wanted, &mut |inode| {
                owners.found.insert((inode, pid));
                missing.remove(&inode);
            });
            match seen {
                Ok(()) => owners.looked_at += 1,
                Err(Errno::EACCES | Errno::EPERM) => owners.hidden += 1,
                // It is gone.
                Err(_) => {}
            }
        }
        search == Search::First && missing.is_empty()
    };
    let pids = proc.pids()?;
    if search == Search::First {
        let groups: BTreeSet<u64> = sockets.iter().filter_map(|socket| socket.cgroup).collect();
        let likely: Vec<i32> = cgroup::directories(&groups).values().flat_map(|path| cgroup::processes(path)).collect();
        // A group of nearly everybody says nothing.
        if likely.len() < pids.len() / 2 && look(&likely, &mut owners) {
            return Ok(owners);
        }
        let users: BTreeSet<u32> = sockets.iter().map(|socket| socket.uid).collect();
        let mut ordered: Vec<(bool, bool, i32)> = pids
            .iter()
            .filter_map(|&pid| {
                let stat = proc.descriptors(pid)?;
                Some((!users.contains(&stat.st_uid), (1..=STANDARD).contains(&stat.st_size), pid))
            })
            .collect();
        ordered.sort_unstable();
        let ordered: Vec<i32> = ordered.into_iter().map(|(_, _, pid)| pid).collect();
        look(&ordered, &mut owners);
    } else {
        look(&pids, &mut owners);
    }
    Ok(owners)
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
