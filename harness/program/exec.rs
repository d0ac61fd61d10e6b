//! A program on its way to being executed that has to be told its own PID: `LISTEN_PID` is compared with getpid(2)
//! (sd_listen_fds(3)), and nobody knows it before the process exists. It begins as this executable, which sets the
//! variables and executes the program in the same process.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{dup2_stdin, execve};

/// `argv[0]` of this stage.
pub(super) const NAME: &str = "relapse-exec";

/// Variables that name the process itself.
const OWN: [&str; 3] = ["LISTEN_PID", "SYSTEMD_EXEC_PID", "WATCHDOG_PID"];

/// The guard's end of it.
pub(super) struct Stage {
    executable: String,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Stage {
    pub(super) fn new() -> io::Result<Stage> {
        let executable = std::env::current_exe()?.to_string_lossy().into_owned();
        let (reader, writer) = io::pipe()?;
        Ok(Stage { executable, reader, writer })
    }

    /// What is to be its standard input: it says there what went wrong, and execve(2) closes it.
    pub(super) fn report(&self) -> &PipeWriter {
        &self.writer
    }

    /// What to start in place of the program.
    pub(super) fn command(&self, program: String, argv: Vec<String>, ignore_sigpipe: bool) -> (String, Vec<String>) {
        let signals = if ignore_sigpipe { "ignore" } else { "default" };
        let head = [NAME.to_owned(), signals.to_owned(), program];
        (self.executable.clone(), head.into_iter().chain(argv).collect())
    }

    /// Waits until the program runs; why it does not.
    pub(super) fn failure(self) -> Option<Errno> {
        let Stage { mut reader, writer, .. } = self;
        drop(writer);
        let mut errno = [0; 4];
        reader.read_exact(&mut errno).ok().map(|()| Errno::from_raw(i32::from_le_bytes(errno)))
    }
}

/// `argv`: how to leave SIGPIPE, the program, its argv.
pub(super) fn main(args: &[String]) -> u8 {
    // A copy that is closed by execve(2); the program's own standard input is nothing.
    let report = io::stdin().as_fd().try_clone_to_owned();
    let errno =
        File::open("/dev/null").and_then(|nothing| Ok(dup2_stdin(nothing)?)).map_or_else(errno_of, |()| execute(args));
    if let Ok(report) = report {
        let _ = File::from(report).write_all(&(errno as i32).to_le_bytes());
    }
    127
}

/// Executes the program; what kept it from being executed.
fn execute(args: &[String]) -> Errno {
    let [_, signals, program, argv @ ..] = args else { return Errno::EINVAL };
    let pid = std::process::id().to_string();
    let environment = std::env::vars_os().map(|(name, value)| {
        let own = OWN.iter().any(|own| name == *own);
        (name, if own { pid.clone().into() } else { value })
    });
    if signals == "ignore" {
        // As the Rust runtime has set it; std::process would give SIGPIPE back its default action.
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let run = || {
            use std::os::unix::ffi::OsStringExt;
            let argv = argv.iter().map(|arg| text(arg.clone().into_bytes())).collect::<Result<Vec<_>, _>>()?;
            let variables = environment
                .map(|(name, value)| text([name.into_vec(), value.into_vec()].join(&b'=')))
                .collect::<Result<Vec<_>, _>>()?;
            execve(&text(program.clone().into_bytes())?, &argv, &variables)
        };
        return run().map_or_else(|errno| errno, |never| match never {});
    }
    let [first, rest @ ..] = argv else { return Errno::EINVAL };
    let variables: Vec<_> = environment.collect();
    errno_of(Command::new(program).arg0(first).args(rest).env_clear().envs(variables).exec())
}

fn errno_of(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
