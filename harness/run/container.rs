//! A machine of the run's own, in namespaces: its files, its processes, its network; and a systemd of its own, if it is
//! to have one. Nothing of it can be reached from outside, nothing outside can be reached from it, and nothing is left of
//! it, however the run ends (`program::keeper`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::guard::Guard;
use crate::control::{Decoder, FromKeeper, Init, Keep, Launch, Sink, Status, ToKeeper, receive, send};
use crate::program::{GUARD_SOCKET, KEEPER};
use crate::sys::namespace::{self, Root};

/// Why there can be no such machine here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n{remedy}")]
pub struct Unavailable {
    /// What is missing.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// What a machine is to be like.
#[derive(Clone, Debug)]
pub struct ContainerSetup {
    /// The executable that serves as helper.
    pub executable: PathBuf,
    /// Where the distribution is: `/`, or the tree of another one.
    pub distribution: PathBuf,
    /// Whether PID 1 is the distribution's systemd.
    pub systemd: bool,
    /// Its name.
    pub hostname: String,
    /// Users beside the distribution's.
    pub users: Vec<String>,
    /// Lines of `[Manager]` in system.conf.
    pub manager: Vec<String>,
    /// Programs of the distribution that our executable stands for.
    pub replaced: Vec<String>,
    /// Directories of the host that can be read there.
    pub exposed: Vec<PathBuf>,
    /// Whether the distribution's directories can be written over there.
    pub writable: bool,
}

/// A machine that runs. Dropping it ends all of it.
#[derive(Debug)]
pub struct Container {
    /// Within the machine; gone while it is down.
    pub(super) guard: Option<Guard>,
    keeper: UnixStream,
    decoder: Decoder,
    listener: UnixListener,
    keeper_root: PathBuf,
    init: Init,
    pid_1: i32,
    cgroup: PathBuf,
    directory: PathBuf,
    /// Last, so that the others have closed their ends when it ends everything.
    outer: Guard,
}

/// How long a machine may take for what takes it a fifth of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a distribution has its systemd.
const SYSTEMD: &[&str] = &["usr/lib/systemd/systemd", "lib/systemd/systemd"];

impl ContainerSetup {
    /// A machine with the host's own distribution.
    pub fn new(executable: PathBuf) -> ContainerSetup {
        ContainerSetup {
            executable,
            distribution: PathBuf::from("/"),
            systemd: true,
            hostname: "relapse".to_owned(),
            users: Vec::new(),
            manager: Vec::new(),
            replaced: Vec::new(),
            exposed: Vec::new(),
            writable: false,
        }
    }

    fn init(&self) -> Result<Init, Unavailable> {
        if !self.systemd {
            return Ok(Init::Reaper);
        }
        let found = SYSTEMD.iter().find(|path| self.distribution.join(path).exists());
        found.map(|path| Init::Systemd(format!("/{path}"))).ok_or_else(|| Unavailable {
            what: format!("no systemd is installed here: there is no {}", self.distribution.join(SYSTEMD[0]).display()),
            remedy: "install it (Debian: apt install systemd), or run with the embedded manager".to_owned(),
        })
    }
}

impl Container {
    /// Whether a machine with the host's systemd can be made here, by making one.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if not.
    pub fn probe() -> Result<(), Unavailable> {
        let executable = super::setup::helper(None).map_err(|error| refused(&error.to_string()))?;
        let setup = ContainerSetup::new(executable);
        setup.init()?;
        Self::probe_without_systemd()
    }

    /// Whether a machine of a run's own can be made here, by making one.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if not.
    pub fn probe_without_systemd() -> Result<(), Unavailable> {
        let executable = super::setup::helper(None).map_err(|error| refused(&error.to_string()))?;
        Self::boot(&ContainerSetup { systemd: false, ..ContainerSetup::new(executable) }).map(drop)
    }

    /// Makes the machine and boots it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if this host does not have what it takes, or does not permit it.
    pub fn boot(setup: &ContainerSetup) -> Result<Container, Unavailable> {
        let mut container = Self::make(setup)?;
        container.start().map_err(|error| refused(&error.to_string()))?;
        Ok(container)
    }

    /// Makes the machine: its files are there, and nobody runs yet.
    pub(super) fn make(setup: &ContainerSetup) -> Result<Container, Unavailable> {
        let init = setup.init()?;
        let failed = |error: io::Error| refused(&error.to_string());
        let own = namespace::own_cgroup().map_err(failed)?;
        // It removes the run's directory and cgroup in the end, whatever happens to this process.
        let outer = Guard::start(&setup.executable, Some(&own)).map_err(failed)?;
        let (directory, cgroup) = (outer.directory().to_owned(), outer.cgroup().unwrap_or(&own).to_owned());
        fs::create_dir(&cgroup).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => undelegated(&own, &error),
            _ => failed(error),
        })?;
        Self::keep(setup, init, directory, cgroup, outer)
    }

    fn keep(
        setup: &ContainerSetup,
        init: Init,
        directory: PathBuf,
        cgroup: PathBuf,
        mut outer: Guard,
    ) -> Result<Container, Unavailable> {
        let failed = |error: io::Error| refused(&error.to_string());
        let (mut keeper, theirs) = UnixStream::pair().map_err(failed)?;
        keeper.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let log = Sink::Append(directory.join("keeper.log").to_string_lossy().into_owned());
        let launch = Launch {
            program: setup.executable.to_string_lossy().into_owned(),
            argv: vec![KEEPER.to_owned()],
            environment: Vec::new(),
            directory: "/".to_owned(),
            stdout: log,
            stderr: None,
            umask: 0o022,
            ignore_sigpipe: true,
            descriptors: 1,
            socket_streams: [true, false, false],
            own_pid: false,
            pid: None,
        };
        let theirs = OwnedFd::from(theirs);
        let started = outer.spawn(&[std::os::fd::AsRawFd::as_raw_fd(&theirs)], launch).map_err(failed)?;
        drop(theirs);
        let pid = started.map_err(|(_, errno)| failed(io::Error::from_raw_os_error(errno)))?;
        let keep = Keep {
            cgroup: cgroup.clone(),
            root: Root {
                distribution: setup.distribution.clone(),
                executable: setup.executable.clone(),
                exposed: setup.exposed.clone(),
                hostname: setup.hostname.clone(),
                users: setup.users.clone(),
                manager: setup.manager.clone(),
                replaced: setup.replaced.clone(),
                writable: setup.writable,
            },
        };
        send(&mut keeper, &ToKeeper::Make(Box::new(keep))).map_err(failed)?;
        let mut decoder = Decoder::default();
        match receive(&mut keeper, &mut decoder).map_err(failed)? {
            Some(FromKeeper::Made) => {}
            Some(FromKeeper::Failed { why }) => return Err(refused(&why)),
            _ => return Err(refused("the keeper of the machine has ended")),
        }
        let keeper_root = PathBuf::from(format!("/proc/{pid}/root"));
        let path = keeper_root.join(GUARD_SOCKET.trim_start_matches('/'));
        let listener = UnixListener::bind(&path).map_err(failed)?;
        Ok(Container { guard: None, keeper, decoder, listener, keeper_root, init, pid_1: 0, cgroup, directory, outer })
    }

    /// Starts a program of ours beside the machine: in its network, but none of its processes.
    pub(super) fn beside(&mut self, argv: &[&str], environment: &[(&str, &str)]) -> io::Result<()> {
        let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        send(&mut self.keeper, &ToKeeper::Beside { argv, environment })?;
        match receive(&mut self.keeper, &mut self.decoder)? {
            Some(FromKeeper::Made) => Ok(()),
            _ => Err(io::Error::other("the keeper of the machine has ended")),
        }
    }

    /// Boots it, for the first time or again.
    pub(super) fn start(&mut self) -> io::Result<()> {
        send(&mut self.keeper, &ToKeeper::Boot(self.init.clone()))?;
        match receive(&mut self.keeper, &mut self.decoder)? {
            Some(FromKeeper::Booted { init }) => self.pid_1 = init,
            Some(FromKeeper::Failed { why }) => return Err(io::Error::other(why)),
            _ => return Err(io::Error::other("the keeper of the machine has ended")),
        }
        self.guard = Some(Guard::inside(self.listener.accept()?.0));
        if self.init == Init::Reaper {
            return Ok(());
        }
        self.until("systemd does not come up", |container| {
            let state = container.run(&["systemctl", "is-system-running"])?.1;
            Ok(["running\n", "degraded\n"].contains(&state.as_str()))
        })
    }

    /// Waits for something that takes a moment.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Container) -> io::Result<bool>) -> io::Result<()> {
        let begin = Instant::now();
        while !is_so(self)? {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{what} within {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Has it go down and boot again; what it keeps in files stays.
    ///
    /// # Errors
    ///
    /// What keeps it from coming up again.
    pub fn reboot(&mut self) -> io::Result<()> {
        self.guard = None;
        loop {
            match receive::<FromKeeper>(&mut self.keeper, &mut self.decoder)? {
                Some(FromKeeper::Down) => break,
                Some(_) => {}
                None => return Err(io::Error::other("the keeper of the machine has ended")),
            }
        }
        self.start()
    }

    /// The machine's files as the host calls them.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid_1))
    }

    /// What of its files outlives a reboot: all but /run and the like.
    pub fn kept_root(&self) -> &Path {
        &self.keeper_root
    }

    /// The host's directory for one of its files.
    pub fn below(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Its root of cgroups, as the host calls it.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// Starts a program there, whose end [`Container::wait`] tells; its PID there.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(&mut self, argv: &[&str], environment: &[(&str, &str)], out: &str, err: &str) -> io::Result<i32> {
        let program = if argv[0].contains('/') { argv[0].to_owned() } else { format!("/usr/bin/{}", argv[0]) };
        self.spawn_as(&program, argv, environment, out, err)
    }

    /// As [`Container::spawn`], where the program is not called by its file.
    pub(super) fn spawn_as(
        &mut self,
        program: &str,
        argv: &[&str],
        environment: &[(&str, &str)],
        out: &str,
        err: &str,
    ) -> io::Result<i32> {
        let own = |text: &str| text.to_owned();
        let launch = Launch {
            program: own(program),
            argv: argv.iter().map(|&arg| own(arg)).collect(),
            environment: environment.iter().map(|&(name, value)| (own(name), own(value))).collect(),
            directory: own("/"),
            stdout: Sink::Truncate(own(out)),
            stderr: (err != out).then(|| Sink::Truncate(own(err))),
            umask: 0o022,
            ignore_sigpipe: false,
            descriptors: 0,
            socket_streams: [false; 3],
            own_pid: false,
            pid: None,
        };
        let guard = self.guard.as_mut().ok_or_else(|| io::Error::other("the machine is down"))?;
        guard.spawn(&[], launch)?.map_err(|(_, errno)| io::Error::from_raw_os_error(errno))
    }

    /// Waits for the next process that ends there, at most so long.
    ///
    /// # Errors
    ///
    /// If the machine is down.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<(i32, Status)>> {
        let guard = self.guard.as_mut().ok_or_else(|| io::Error::other("the machine is down"))?;
        let begin = Instant::now();
        loop {
            if let Some(ended) = guard.next_ended() {
                return Ok(Some(ended));
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            guard.read_within(left)?;
        }
    }

    /// Runs a program there to its end; its status as a shell shows it, and what it printed.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not end.
    pub fn run(&mut self, argv: &[&str]) -> io::Result<(u8, String)> {
        let path = "/relapse/answer";
        let environment = [("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("LANG", "C.UTF-8"), ("SYSTEMD_PAGER", "")];
        let wanted = self.spawn(argv, &environment, path, path)?;
        let begin = Instant::now();
        loop {
            match self.wait(PATIENCE)? {
                Some((pid, status)) if pid == wanted => {
                    let text = fs::read(self.below(path))?;
                    return Ok((status.as_shell(), String::from_utf8_lossy(&text).into_owned()));
                }
                Some(_) if begin.elapsed() < PATIENCE => {}
                _ => return Err(io::Error::other(format!("`{}` does not end", argv.join(" ")))),
            }
        }
    }

    /// Ends all of it.
    ///
    /// # Errors
    ///
    /// If the guard does not confirm it.
    pub fn end(mut self) -> io::Result<()> {
        self.guard = None;
        self.outer.shut_down(false)
    }

    /// The run's own directory, on the host.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn undelegated(own: &Path, error: &io::Error) -> Unavailable {
    Unavailable {
        what: format!("a machine of its own needs a cgroup, and {} refuses one: {error}", own.display()),
        remedy: "run it as root, or have one delegated: systemd-run --user --scope -p Delegate=yes relapse …"
            .to_owned(),
    }
}

fn refused(why: &str) -> Unavailable {
    let restricted = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let remedy = match restricted {
        Ok(text) if text.trim() == "1" && !nix::unistd::geteuid().is_root() => {
            "run it as root, or allow it: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        }
        _ if !nix::unistd::geteuid().is_root() => {
            "run it as root, or where user namespaces and a delegated cgroup are permitted"
        }
        _ => "run it where namespaces and mounts are permitted (docker: --privileged), or with the embedded manager",
    };
    Unavailable { what: format!("no machine of its own can be made here: {why}"), remedy: remedy.to_owned() }
}
