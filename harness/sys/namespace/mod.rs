//! Namespaces: what a machine of its own is made of (namespaces(7), cgroups(7)).
//!
//! Everything here acts on the process that calls it, which has a single thread: unshare(2) of a user or mount namespace
//! asks for that.

mod root;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

pub use root::{MACHINE_ID, Root, build, mount_proc};

/// Where a cgroup2 hierarchy is mounted read-write, and the caller's own cgroup in it.
///
/// # Errors
///
/// There is none; or /proc cannot be read.
pub fn own_cgroup() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find_map(|line| {
        // proc_pid_mountinfo(5): fields, " - ", type, source, options of the superblock.
        let (fields, kind) = line.split_once(" - ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let writable = |options: &str| options.split(',').any(|option| option == "rw");
        let is_rw = kind.starts_with("cgroup2 ") && writable(fields.get(5)?) && writable(kind.rsplit(' ').next()?);
        is_rw.then(|| unescaped(fields[4]))
    });
    let mount = mount.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup2 is mounted read-write"))?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let own = Path::new(&mount).join(own);
    // Within a cgroup namespace the path may lead out of what is mounted.
    Ok(if own.is_dir() { own } else { PathBuf::from(mount) })
}

/// Blanks and the like are written as octal numbers there.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// Has the kernel give the next process of the caller's machine this PID, or the first free one from there on
/// (proc_sys_kernel(5), `ns_last_pid`). Where it cannot be set, PIDs are what they are.
pub fn set_next_pid(pid: u32) {
    let _ = fs::write("/relapse/proc/sys/kernel/ns_last_pid", pid.saturating_sub(1).to_string());
}

/// Moves the caller into a cgroup.
///
/// # Errors
///
/// What the system says.
pub fn enter_cgroup(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
}

/// Kills all that is left in a cgroup, and removes it with those below; `false` if somebody does not die.
pub fn remove_cgroup(cgroup: &Path) -> bool {
    for _ in 0..200 {
        let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        remove_below(cgroup);
        if fs::remove_dir(cgroup).is_ok() || !cgroup.exists() {
            return true;
        }
        // Still dying.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

fn remove_below(cgroup: &Path) {
    let Ok(entries) = fs::read_dir(cgroup) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_below(&entry.path());
        let _ = fs::remove_dir(entry.path());
    }
}

/// Gives the caller namespaces of its own, all but that of PIDs; not being root it first becomes root of a user
/// namespace of its own.
///
/// # Errors
///
/// What the system says: EPERM where namespaces are not permitted.
pub fn enter() -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !user.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER)?;
        // user_namespaces(7): who has no privilege outside gives up setgroups(2) first.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    }
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    Ok(unshare(flags)?)
}

/// Children of the caller are in a namespace of PIDs of their own from now on, the first as PID 1; and the caller and they
/// have mounts of their own.
///
/// # Errors
///
/// What the system says.
pub fn enter_pids() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?)
}

/// Brings up the loopback of the caller's network namespace (rtnetlink(7), `RTM_NEWLINK`).
///
/// # Errors
///
/// What the kernel says.
pub fn bring_up_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let route = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    // nlmsghdr: length, type, flags, sequence, port; ifinfomsg: family, padding, type, index (the loopback is the first),
    // flags, which of them change.
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(1i32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let route = std::os::fd::AsRawFd::as_raw_fd(&route);
    sendto(route, &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0u8; 256];
    let count = recv(route, &mut answer, MsgFlags::empty())?;
    // An acknowledgement is an error message with the number 0 behind the head.
    let errno = answer.get(16..20).filter(|_| count >= 20).map(|n| i32::from_ne_bytes([n[0], n[1], n[2], n[3]]));
    match errno {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
        None => Err(io::Error::other("rtnetlink: a short answer")),
    }
}
