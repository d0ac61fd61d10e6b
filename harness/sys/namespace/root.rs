//! The root of a machine: a tmpfs with the host's programs below it, which cannot be written there.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, chroot, pivot_root, sethostname};

/// What a machine's root is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Root {
    /// Where the distribution is: `/`, or the tree of another one.
    pub distribution: PathBuf,
    /// Our executable, which is `/relapse/bin/relapse` there.
    pub executable: PathBuf,
    /// Directories of the host that can be read there under their own names.
    pub exposed: Vec<PathBuf>,
    /// Its name.
    pub hostname: String,
    /// Users, each with a group of the same name, beside the distribution's.
    pub users: Vec<String>,
    /// Lines of `[Manager]` in system.conf.
    pub manager: Vec<String>,
    /// Programs of the distribution that our executable stands for.
    pub replaced: Vec<String>,
    /// Whether what the distribution has can be written over there; it stays as it is on the host.
    pub writable: bool,
}

/// Taken from the distribution, read-only.
const DISTRIBUTION: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc"];
const DIRECTORIES: &[&str] = &[
    "proc",
    "sys",
    "dev",
    "run/lock",
    "run/systemd/system",
    "tmp",
    "var/log/journal",
    "var/lib/systemd",
    "var/tmp",
    "home",
    "root",
    "mnt",
    "opt",
    "srv",
    "case",
    "relapse/bin",
    "relapse/proc",
    "old",
];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Units that the machine starts by itself: the journal, and nothing else of the distribution.
const WANTED: &[(&str, &str)] = &[
    ("sysinit", "systemd-journald.service"),
    ("sockets", "systemd-journald.socket"),
    ("sockets", "systemd-journald-dev-log.socket"),
];
/// The machine's ID, under which its journal lies.
pub const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef";

/// Builds the root and makes it the caller's. The caller is in a mount namespace of its own.
///
/// # Errors
///
/// What could not be mounted or written, and why.
pub fn build(root: &Root) -> io::Result<()> {
    change("/", MsFlags::MS_PRIVATE | MsFlags::MS_REC)?;
    // Covered in this namespace alone.
    let top = Path::new("/mnt");
    tmpfs(top)?;
    for name in DISTRIBUTION {
        let (from, to) = (root.distribution.join(name), top.join(name));
        if from.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if from.is_dir() {
            fs::create_dir(&to)?;
            if !(root.writable && overlay(&from, top, name)) {
                bind(&from, &to, true)?;
            }
        }
    }
    for name in DIRECTORIES {
        fs::create_dir_all(top.join(name))?;
    }
    // A mount, or systemd mounts the host's devices there.
    tmpfs(&top.join("dev"))?;
    for name in ["shm", "pts"] {
        fs::create_dir(top.join("dev").join(name))?;
    }
    for name in ["tmp", "var/tmp", "dev/shm"] {
        fs::set_permissions(top.join(name), fs::Permissions::from_mode(0o1777))?;
    }
    symlink("/run", top.join("var/run"))?;
    for path in &root.exposed {
        let to = top.join(path.strip_prefix("/").unwrap_or(path));
        if !to.exists() {
            fs::create_dir_all(&to)?;
        }
        bind(path, &to, true)?;
    }
    fs::write(top.join("relapse/bin/relapse"), "")?;
    bind(&root.executable, &top.join("relapse/bin/relapse"), true)?;
    kernel(top)?;
    identity(top, root)?;
    quiet(top)?;
    for program in &root.replaced {
        let path = top.join(program.trim_start_matches('/'));
        if path.is_file() {
            bind(&root.executable, &path, true)?;
        }
    }
    sethostname(&root.hostname)?;
    chdir(top)?;
    pivot_root(".", "old")?;
    chroot(".")?;
    chdir("/")?;
    umount2("/old", MntFlags::MNT_DETACH)?;
    fs::remove_dir("/old")
}

/// Mounts the processes of the caller's own namespace, with the host's settings read-only. A second mount below /relapse
/// can be written: the next PID is set there.
///
/// # Errors
///
/// What the system says.
pub fn mount_proc() -> io::Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    for at in ["/proc", "/relapse/proc"] {
        mount(Some("proc"), at, Some("proc"), plain, None::<&str>).map_err(|errno| said("mount proc on", at, errno))?;
    }
    bind(Path::new("/proc/sys"), Path::new("/proc/sys"), true)
}

/// user_namespaces(7): there all IDs are what they are.
fn is_initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn kernel(top: &Path) -> io::Result<()> {
    let sys = top.join("sys");
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), &sys, Some("sysfs"), plain | MsFlags::MS_RDONLY, None::<&str>)
        .map_err(|errno| said("mount sysfs on", "/sys", errno))?;
    mount(Some("cgroup2"), &sys.join("fs/cgroup"), Some("cgroup2"), plain, None::<&str>)
        .map_err(|errno| said("mount cgroup2 on", "/sys/fs/cgroup", errno))?;
    for name in DEVICES {
        let device = top.join("dev").join(name);
        fs::write(&device, "")?;
        bind(&Path::new("/dev").join(name), &device, false)?;
    }
    if !is_initial_user_namespace() {
        // A user namespace may mount /proc only where it can see one: PID 1 covers this one with its own.
        bind(Path::new("/proc"), &top.join("proc"), false)?;
    }
    for (name, target) in DEVICE_LINKS {
        symlink(target, top.join("dev").join(name))?;
    }
    Ok(())
}

/// Files of /etc that are the machine's own, each bound over the distribution's.
fn identity(top: &Path, root: &Root) -> io::Result<()> {
    let etc = top.join("etc");
    let own = top.join("relapse/etc");
    fs::create_dir_all(&own)?;
    let accounts = |file: &str, line: &dyn Fn(u32, &str) -> String| -> io::Result<String> {
        let mut text = fs::read_to_string(etc.join(file)).unwrap_or_else(|_| line(0, "root"));
        let new = |user: &&String| !text.lines().any(|line| line.split(':').next() == Some(user.as_str()));
        let new: Vec<&String> = root.users.iter().filter(new).collect();
        for (id, user) in (61_001..).zip(new) {
            text.push_str(&line(id, user));
        }
        Ok(text)
    };
    let passwd = accounts("passwd", &|id, user| format!("{user}:x:{id}:{id}::/home/{user}:/bin/sh\n"))?;
    let group = accounts("group", &|id, user| format!("{user}:x:{id}:\n"))?;
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{}\n", root.hostname);
    let files = [
        ("passwd", passwd),
        ("group", group),
        ("machine-id", format!("{MACHINE_ID}\n")),
        ("hostname", format!("{}\n", root.hostname)),
        ("hosts", hosts),
    ];
    for (name, text) in files {
        let file = own.join(name);
        fs::write(&file, text)?;
        // A layer over it does not show what the host has mounted there.
        if root.writable && !etc.join(name).exists() {
            let _ = fs::write(etc.join(name), "");
        }
        if etc.join(name).is_file() {
            bind(&file, &etc.join(name), true)?;
        }
    }
    for user in &root.users {
        let home = top.join("home").join(user);
        if !user.contains('/') {
            fs::create_dir_all(&home)?;
        }
    }
    tmpfs(&etc.join("systemd"))?;
    fs::create_dir(etc.join("systemd/system"))?;
    let manager = root.manager.iter().map(|line| format!("{line}\n")).collect::<String>();
    fs::write(etc.join("systemd/system.conf"), format!("[Manager]\n{manager}"))?;
    let journal = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nForwardToConsole=no\nReadKMsg=no\n";
    fs::write(etc.join("systemd/journald.conf"), journal)
}

/// Nothing of the distribution is started but the journal.
fn quiet(top: &Path) -> io::Result<()> {
    let lib = top.join("usr/lib/systemd");
    let units = lib.join("system");
    let entries: Vec<PathBuf> = fs::read_dir(&units)?.flatten().map(|entry| entry.path()).collect();
    let ends = |path: &Path, end: &str| path.to_string_lossy().ends_with(end);
    let started = entries.into_iter().filter(|path| ends(path, ".wants") || ends(path, ".requires"));
    let elsewhere = ["system-generators", "system-environment-generators", "system.conf.d", "journald.conf.d"];
    let others = elsewhere.iter().map(|name| lib.join(name));
    let local = ["usr/local/lib/systemd/system", "etc/systemd/system.conf.d"].iter().map(|path| top.join(path));
    for path in started.chain(others).chain(local).filter(|path| path.is_dir() && !path.is_symlink()) {
        tmpfs(&path)?;
    }
    for (target, unit) in WANTED {
        let wants = units.join(format!("{target}.target.wants"));
        if units.join(unit).exists() && wants.is_dir() {
            symlink(format!("../{unit}"), wants.join(unit))?;
        }
    }
    Ok(())
}

fn tmpfs(at: &Path) -> io::Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("relapse"), at, Some("tmpfs"), plain, Some("mode=755"))
        .map_err(|errno| said("mount tmpfs on", at, errno))
}

/// The distribution's directory with a layer over it that takes what is written (mount(8), overlay); `false` where the
/// kernel does not let one have that.
fn overlay(from: &Path, top: &Path, name: &str) -> bool {
    let layer = |kind: &str| top.join("relapse/layers").join(name).join(kind);
    let (upper, work) = (layer("upper"), layer("work"));
    if fs::create_dir_all(&upper).and_then(|()| fs::create_dir_all(&work)).is_err() {
        return false;
    }
    let xattr = if is_initial_user_namespace() { "" } else { ",userxattr" };
    let (from, upper, work) = (from.display(), upper.display(), work.display());
    let options = format!("lowerdir={from},upperdir={upper},workdir={work}{xattr}");
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("relapse"), &top.join(name), Some("overlay"), plain, Some(options.as_str())).is_ok()
}

fn bind(from: &Path, to: &Path, read_only: bool) -> io::Result<()> {
    let none = None::<&str>;
    mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).map_err(|errno| said("bind", from, errno))?;
    if !read_only {
        return Ok(());
    }
    // What the host has forbidden there must stay forbidden: a user namespace may not lift it.
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    let kept = statvfs(to).map_or(FsFlags::empty(), |stat| stat.flags());
    for (has, flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ] {
        if kept.contains(has) {
            flags |= flag;
        }
    }
    mount(none, to, none, flags, none).map_err(|errno| said("make read-only", to, errno))
}

fn change(at: &str, flags: MsFlags) -> io::Result<()> {
    mount(None::<&str>, at, None::<&str>, flags, None::<&str>).map_err(|errno| said("make private", at, errno))
}

fn said(what: &str, at: impl AsRef<Path>, errno: nix::errno::Errno) -> io::Error {
    let kind = io::Error::from(errno).kind();
    io::Error::new(kind, format!("cannot {what} {}: {}", at.as_ref().display(), errno.desc()))
}
