//! What `systemctl`, `journalctl`, `systemd-analyze`, `systemd-escape` and `systemd-notify` say: from argv to standard
//! output, standard error and exit code. Pure.

pub mod analyze;
pub mod escape;
mod getopt;
mod glob;
mod guess;
pub mod install;
pub mod journalctl;
pub mod notify;
pub mod systemctl;
mod view;

use crate::unit::Profile;

pub use view::{JobInfo, UnitFile, UnitProcess, Unmet, View};
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

/// A command line as `systemctl status` shows it: words with blanks or characters of the shell in quotes.
pub fn quoted(argv: &[String]) -> String {
    let special = |c: char| c.is_whitespace() || "\"\\`$*?['()<>|&;!".contains(c);
    let quote = |word: &String| {
        if !word.is_empty() && !word.contains(special) {
            return word.clone();
        }
        let mut quoted = String::from('"');
        for c in word.chars() {
            if "\"\\`$".contains(c) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        quoted
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// The major version that a profile stands for.
pub const fn version_of(profile: Profile) -> u32 {
    match profile {
        Profile::V252 => 252,
        Profile::V257 => 257,
        Profile::V260 => 260,
    }
}

/// The version of the package that the texts are taken from.
fn package_version(version: u32) -> String {
    match version {
        252 => "252.38-1~deb12u1".to_owned(),
        257 => "257.13-1~deb13u1".to_owned(),
        other => other.to_string(),
    }
}

/// What the packages were built with.
const FEATURES_252: &str = "\
    +PAM +AUDIT +SELINUX +APPARMOR +IMA +SMACK +SECCOMP +GCRYPT -GNUTLS +OPENSSL +ACL +BLKID +CURL +ELFUTILS \
    +FIDO2 +IDN2 -IDN +IPTC +KMOD +LIBCRYPTSETUP +LIBFDISK +PCRE2 -PWQUALITY +P11KIT +QRENCODE +TPM2 +BZIP2 \
    +LZ4 +XZ +ZLIB +ZSTD -BPF_FRAMEWORK -XKBCOMMON +UTMP +SYSVINIT default-hierarchy=unified";
const FEATURES_257: &str = "\
    +PAM +AUDIT +SELINUX +APPARMOR +IMA +IPE +SMACK +SECCOMP +GCRYPT -GNUTLS +OPENSSL +ACL +BLKID +CURL \
    +ELFUTILS +FIDO2 +IDN2 -IDN +IPTC +KMOD +LIBCRYPTSETUP +LIBCRYPTSETUP_PLUGINS +LIBFDISK +PCRE2 +PWQUALITY \
    +P11KIT +QRENCODE +TPM2 +BZIP2 +LZ4 +XZ +ZLIB +ZSTD +BPF_FRAMEWORK +BTF -XKBCOMMON -UTMP +SYSVINIT \
    +LIBARCHIVE";

/// `--version` of either command.
fn version_output(version: u32) -> Output {
    let mut output = Output::default();
    output.say(format!("systemd {version} ({})", package_version(version)));
    output.say(if version >= 257 { FEATURES_257 } else { FEATURES_252 });
    output
}
