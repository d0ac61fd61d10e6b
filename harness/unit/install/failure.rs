//! Why an operation on unit files fails, in the words of the kernel and of the manager.

use std::fmt;

use crate::unit::Errno;
use crate::unit::Profile;

/// The error numbers unit file operations end with; what each means there stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// ENOENT: there is no such unit file.
    NotFound,
    /// EINVAL: not a valid name, or text that cannot be read.
    Invalid,
    /// ELOOP: an alias or a linked unit file where a real one is needed, or too many symlinks.
    Loop,
    /// EXDEV: the alias does not fit the unit.
    CrossDevice,
    /// EBADMSG: a broken section header.
    BadMessage,
    /// ENOLINK: an alias of a unit that is not there.
    Severed,
    /// EEXIST: something else has the place.
    Exists,
    /// ERFKILL: the unit is masked.
    Masked,
    /// EADDRNOTAVAIL: the unit is transient or generated.
    Generated,
    /// ETXTBSY: a file somewhere below the unit directories.
    Busy,
    /// EBADSLT: a specifier that does not exist.
    Specifier,
    /// EIDRM: a template that is wanted by a unit that is none.
    Template,
    /// EUCLEAN: not a unit name.
    Unclean,
    /// EISDIR: a directory has the place.
    Directory,
    /// ENOTDIR: a file has the place of a directory.
    NotDirectory,
    /// ENOBUFS: a line that is too long.
    NoBuffers,
    /// ENAMETOOLONG: a name that is too long after expansion.
    NameTooLong,
    /// ERANGE, of which no operation here makes use.
    Range,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ERANGE => Failure::Range,
            Errno::EBADMSG => Failure::BadMessage,
            Errno::EBADSLT => Failure::Specifier,
            Errno::ENOBUFS => Failure::NoBuffers,
            Errno::ENAMETOOLONG => Failure::NameTooLong,
            _ => Failure::Invalid,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::NotFound => "No such file or directory",
            Failure::Invalid => "Invalid argument",
            Failure::Loop => "Too many levels of symbolic links",
            Failure::CrossDevice => "Invalid cross-device link",
            Failure::BadMessage => "Bad message",
            Failure::Severed => "Link has been severed",
            Failure::Exists => "File exists",
            Failure::Masked => "Operation not possible due to RF-kill",
            Failure::Generated => "Cannot assign requested address",
            Failure::Busy => "Text file busy",
            Failure::Specifier => "Invalid slot",
            Failure::Template => "Identifier removed",
            Failure::Unclean => "Structure needs cleaning",
            Failure::Directory => "Is a directory",
            Failure::NotDirectory => "Not a directory",
            Failure::NoBuffers => "No buffer space available",
            Failure::NameTooLong => "File name too long",
            Failure::Range => "Numerical result out of range",
        })
    }
}

impl std::error::Error for Failure {}

/// Something that happened to a path, or was worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Created {
        path: String,
        target: String,
    },
    Removed {
        path: String,
    },
    Masked {
        path: String,
    },
    Dangling {
        path: String,
    },
    /// `path` is wanted or required by nobody yet: the unit `source` was added to does not exist.
    NoDestination {
        path: String,
        source: String,
    },
    AuxiliaryFailed {
        name: String,
    },
    Failed {
        failure: Failure,
        path: String,
        source: Option<String>,
    },
}

impl Event {
    pub(super) fn failed(failure: Failure, path: impl Into<String>) -> Event {
        Event::Failed { failure, path: path.into(), source: None }
    }

    /// The line systemctl prints for it, without `Failed to VERB unit: ` if it is a failure.
    pub(super) fn text(&self, profile: Profile) -> String {
        let new = profile >= Profile::V257;
        match self {
            Event::Created { path, target } if new => format!("Created symlink '{path}' → '{target}'."),
            Event::Created { path, target } => format!("Created symlink {path} → {target}."),
            Event::Removed { path } if new => format!("Removed '{path}'."),
            Event::Removed { path } => format!("Removed \"{path}\"."),
            Event::Masked { path } => format!("Unit {path} is masked, ignoring."),
            Event::Dangling { path } if new => format!("Unit {path} is an alias to a non-existent unit, ignoring."),
            Event::Dangling { path } => format!("Unit {path} is an alias to a unit that is not present, ignoring."),
            Event::NoDestination { path, source } => {
                format!("Unit {source} is added as a dependency to a non-existent unit {path}.")
            }
            Event::AuxiliaryFailed { name } => format!("Failed to enable auxiliary unit {name}, ignoring."),
            Event::Failed { failure, path, source } if new => new_text(*failure, path, source.as_deref()),
            Event::Failed { failure, path, source } => old_text(*failure, path, source.as_deref()),
        }
    }
}

fn old_text(failure: Failure, path: &str, source: Option<&str>) -> String {
    match (failure, source) {
        (Failure::Exists, Some(target)) => format!("File {path} already exists and is a symlink to {target}."),
        (Failure::Exists, None) => format!("File {path} already exists."),
        (Failure::Masked, _) => format!("Unit file {path} is masked."),
        (Failure::Generated, _) => format!("Unit {path} is transient or generated."),
        (Failure::Busy, _) => format!("File {path} is under the systemd unit hierarchy already."),
        (Failure::Specifier, _) => format!("Invalid specifier in {path}."),
        (Failure::Template, _) => format!("Destination unit {path} is a non-template unit."),
        (Failure::Unclean, _) => format!("\"{path}\" is not a valid unit name."),
        (Failure::Loop, _) => format!("Refusing to operate on alias name or linked unit file: {path}"),
        (Failure::CrossDevice, Some(unit)) => format!("Cannot alias {unit} as {path}."),
        (Failure::CrossDevice, None) => format!("Invalid unit reference {path}."),
        (Failure::NotFound, _) => format!("Unit file {path} does not exist."),
        (other, _) => format!("File {path}: {other}"),
    }
}

fn new_text(failure: Failure, path: &str, source: Option<&str>) -> String {
    match (failure, source) {
        (Failure::Exists, Some(target)) => format!("File '{path}' already exists and is a symlink to {target}"),
        (Failure::Exists, None) => format!("File '{path}' already exists"),
        (Failure::Masked, _) => format!("Unit {path} is masked"),
        (Failure::Generated, _) => format!("Unit {path} is transient or generated"),
        (Failure::Busy, _) => format!("File '{path}' is under the systemd unit hierarchy already"),
        (Failure::Specifier, _) => format!("Invalid specifier in unit {path}"),
        (Failure::Template, source) => format!(
            "Refusing to operate on template unit {} when destination unit {path} is a non-template unit",
            source.unwrap_or_default()
        ),
        (Failure::Unclean, _) => format!("Invalid unit name {path}"),
        (Failure::Loop, _) => format!("Refusing to operate on linked unit file {path}"),
        (Failure::CrossDevice, Some(unit)) => format!("Cannot alias {unit} as {path}"),
        (Failure::CrossDevice, None) => format!("Invalid unit reference {path}"),
        (Failure::NotFound, _) => format!("Unit {path} does not exist"),
        (Failure::Severed, _) => format!("Unit {path} is an unresolvable alias"),
        (other, _) => format!("File {path}: {other}"),
    }
}

/// What systemctl says when a unit has nothing to enable.
pub(super) fn no_install_section(profile: Profile) -> &'static str {
    if profile >= Profile::V257 {
        "The unit files have no installation config (WantedBy=, RequiredBy=, UpheldBy=,\n\
         Also=, or Alias= settings in the [Install] section, and DefaultInstance= for\n\
         template units). This means they are not meant to be enabled or disabled using systemctl.\n \n\
         Possible reasons for having these kinds of units are:\n\
         • A unit may be statically enabled by being symlinked from another unit's\n  \
         .wants/, .requires/, or .upholds/ directory.\n\
         • A unit's purpose may be to act as a helper for some other unit which has\n  \
         a requirement dependency on it.\n\
         • A unit may be started when needed via activation (socket, path, timer,\n  \
         D-Bus, udev, scripted systemctl call, ...).\n\
         • In case of template units, the unit is meant to be enabled with some\n  \
         instance name specified."
    } else {
        "The unit files have no installation config (WantedBy=, RequiredBy=, Also=,\n\
         Alias= settings in the [Install] section, and DefaultInstance= for template\n\
         units). This means they are not meant to be enabled using systemctl.\n \n\
         Possible reasons for having this kind of units are:\n\
         • A unit may be statically enabled by being symlinked from another unit's\n  \
         .wants/ or .requires/ directory.\n\
         • A unit's purpose may be to act as a helper for some other unit which has\n  \
         a requirement dependency on it.\n\
         • A unit may be started when needed via activation (socket, path, timer,\n  \
         D-Bus, udev, scripted systemctl call, ...).\n\
         • In case of template units, the unit is meant to be enabled with some\n  \
         instance name specified."
    }
}
