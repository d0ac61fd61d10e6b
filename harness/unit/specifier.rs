//! `%`-specifiers (systemd.unit(5), "Specifiers") and the machine they speak of.

use super::Errno;
use super::Profile;
use super::name::{self, NameError};

/// What specifiers say about the incident's machine. The default is a Debian virtual machine called `vm`, and the
/// system manager, which runs as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// `%u` and `%g`: who the manager runs as.
    pub user: String,
    /// `%U` and `%G`.
    pub uid: u32,
    /// `%h`
    pub home: String,
    /// `%s`
    pub shell: String,
    /// `%H`; `%l` and `%q` are its first label.
    pub host_name: String,
    /// `%m`
    pub machine_id: String,
    /// `%b`
    pub boot_id: String,
    /// `%v`
    pub kernel_release: String,
    /// `%a`
    pub architecture: String,
    /// `%o`, the ID of os-release(5).
    pub os_id: String,
    /// `%w`, its VERSION_ID.
    pub os_version_id: String,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            user: "root".into(),
            uid: 0,
            home: "/root".into(),
            shell: "/bin/sh".into(),
            host_name: "vm".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            boot_id: "fedcba9876543210fedcba9876543210".into(),
            kernel_release: "6.1.0-28-amd64".into(),
            architecture: "x86-64".into(),
            os_id: "debian".into(),
            os_version_id: "12".into(),
        }
    }
}

/// The longest name of a unit that may come out.
const LONGEST_NAME: usize = 256;
/// The longest text of any other kind: LONG_LINE_MAX, so that `%n%n%n…` does not fill the memory.
const LONGEST_TEXT: usize = 1024 * 1024;

/// Which specifiers a setting knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Names of units: what is safe to stand in one.
    Name,
    /// Everything else in a unit.
    Full,
}

/// Expands specifiers for one unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Specifiers<'a> {
    pub context: &'a Context,
    pub profile: Profile,
    /// The unit's full name.
    pub unit: &'a str,
    /// Where its fragment lies.
    pub fragment: Option<&'a str>,
}

impl Specifiers<'_> {
    /// The text with its specifiers expanded. A `%` before anything but a letter or digit, and one at the end, stay.
    ///
    /// # Errors
    ///
    /// [`Errno::EBADSLT`] for a letter or digit that is no specifier, [`Errno::ENAMETOOLONG`] for too long a result.
    pub(crate) fn expand(&self, text: &str, scope: Scope) -> Result<String, Errno> {
        let longest = if scope == Scope::Name { LONGEST_NAME } else { LONGEST_TEXT };
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if out.len() > longest {
                return Err(Errno::ENAMETOOLONG);
            }
            let Some(letter) = after.chars().next() else {
                out.push('%');
                rest = "";
                break;
            };
            rest = &after[letter.len_utf8()..];
            match letter {
                '%' => out.push('%'),
                letter if letter.is_ascii_alphanumeric() => {
                    out.push_str(&self.value(letter, scope)?.ok_or(Errno::EBADSLT)?);
                }
                letter => out.extend(['%', letter]),
            }
        }
        out.push_str(rest);
        if out.len() > longest {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(out)
    }

    fn value(&self, letter: char, scope: Scope) -> Result<Option<String>, Errno> {
        let context = self.context;
        let prefix = name::prefix(self.unit);
        let instance = name::instance(self.unit).unwrap_or("");
        let invalid = |_: NameError| Errno::EINVAL;
        let common = match letter {
            'n' => self.unit.to_owned(),
            'N' => name::stem(self.unit).to_owned(),
            'p' => prefix.to_owned(),
            'i' => instance.to_owned(),
            'j' => last_component(prefix).to_owned(),
            'u' | 'g' => context.user.clone(),
            'U' | 'G' => context.uid.to_string(),
            'H' => context.host_name.clone(),
            'l' | 'q' => context.host_name.split('.').next().unwrap_or_default().to_owned(),
            'm' => context.machine_id.clone(),
            'b' => context.boot_id.clone(),
            'v' => context.kernel_release.clone(),
            'a' => context.architecture.clone(),
            'o' => context.os_id.clone(),
            'w' => context.os_version_id.clone(),
            // Image and build names, which a Debian machine does not have.
            'A' | 'B' | 'M' | 'W' => String::new(),
            'T' if scope != Scope::Name => "/tmp".into(),
            'V' if scope != Scope::Name => "/var/tmp".into(),
            _ if scope != Scope::Full => return Ok(None),
            'I' => name::unescape(instance).map_err(invalid)?,
            'J' => name::unescape(last_component(prefix)).map_err(invalid)?,
            'P' => name::unescape(prefix).map_err(invalid)?,
            'f' if instance.is_empty() => name::unescape_path(prefix).map_err(invalid)?,
            'f' => name::unescape_path(instance).map_err(invalid)?,
            'y' => self.fragment.unwrap_or_default().to_owned(),
            'Y' => self.fragment.and_then(|path| path.rsplit_once('/')).map_or("", |(dir, _)| dir).to_owned(),
            'C' => "/var/cache".into(),
            'd' => format!("/run/credentials/{}", self.unit),
            'D' if self.profile >= Profile::V257 => "/usr/share".into(),
            'E' => "/etc".into(),
            'L' => "/var/log".into(),
            'S' => "/var/lib".into(),
            't' => "/run".into(),
            'h' => context.home.clone(),
            's' => context.shell.clone(),
            _ => return Ok(None),
        };
        Ok(Some(common))
    }
}

/// The part of a prefix after its last dash (`%j`).
fn last_component(prefix: &str) -> &str {
    prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)
}
