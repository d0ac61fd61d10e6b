//! What `systemctl` and `journalctl` say: from argv to standard output, standard error and exit code. Pure.

mod getopt;
mod glob;
pub mod journalctl;
mod name;

/// What a command has written, and its exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit code.
    pub code: u8,
}

impl Output {
    /// A refusal: one line on standard error.
    fn refuse(message: impl AsRef<str>) -> Self {
        let mut output = Output { code: 1, ..Output::default() };
        output.complain(message);
        output
    }

    /// Adds a line to standard error.
    fn complain(&mut self, message: impl AsRef<str>) {
        self.stderr.extend_from_slice(message.as_ref().as_bytes());
        self.stderr.push(b'\n');
    }

    /// Adds a line to standard output.
    fn say(&mut self, line: impl AsRef<str>) {
        self.stdout.extend_from_slice(line.as_ref().as_bytes());
        self.stdout.push(b'\n');
    }
}

/// `--version` of either command.
fn version_output(version: u32) -> Output {
    let mut output = Output::default();
    output.say(match version {
        252 => "systemd 252 (252.38-1~deb12u1)".to_owned(),
        257 => "systemd 257 (257.13-1~deb13u1)".to_owned(),
        other => format!("systemd {other} ({other})"),
    });
    output
}
