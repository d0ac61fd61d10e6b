//! Where a process belongs, by the path of its control group (systemd.slice(5), sd-login(3)).

use crate::unit::name;

/// Whose unit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The system's.
    System,
    /// A user's own (`systemctl --user`).
    User(u32),
}

/// Where a process belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// It could not be seen.
    #[default]
    Unknown,
    /// PID 1, or a user's manager itself.
    Init(Option<u32>),
    /// A service.
    Service {
        /// Its unit.
        unit: String,
        /// Whose.
        manager: Manager,
    },
    /// Below a user's manager, and in no unit of it.
    UserManager(u32),
    /// The session of somebody who has logged in.
    Session {
        /// The unit.
        scope: String,
        /// Whose.
        uid: Option<u32>,
    },
    /// Another group of processes that somebody else than systemd has started: a terminal, a virtual machine.
    Scope {
        /// The unit.
        scope: String,
        /// Whose.
        uid: Option<u32>,
    },
    /// A container.
    Container {
        /// The beginning of its identifier.
        id: String,
    },
    /// No unit: the root, or a group that somebody else has made.
    Group(String),
}

/// Services that start what people and crontabs ask for: what runs in them was started by hand or by a timetable.
const LAUNCHERS: [&str; 12] = [
    "atd.service",
    "cron.service",
    "crond.service",
    "cronie.service",
    "dropbear.service",
    "gdm.service",
    "lightdm.service",
    "sddm.service",
    "ssh.service",
    "sshd.service",
    "systemd-logind.service",
    "webmin.service",
];
/// Templates of the same.
const LAUNCHER_PREFIXES: [&str; 5] = ["getty@", "serial-getty@", "console-getty", "ssh@", "sshd@"];

impl Place {
    /// By a path such as `/system.slice/app.service`.
    pub fn of_group(path: &str) -> Place {
        let mut uid = None;
        let mut unit = None;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            // Names that the kernel would take for its own have a prefix (systemd's CONTROL_GROUP_INTERFACE).
            let part = part.strip_prefix('_').filter(|rest| name::is_valid(rest)).unwrap_or(part);
            if let Some(id) = container(part) {
                return Place::Container { id: id.to_owned() };
            }
            if let Some(user) = part.strip_prefix("user@").and_then(|rest| rest.strip_suffix(".service")) {
                uid = user.parse().ok();
                unit = None;
            } else if name::is_valid(part)
                && [".service", ".scope", ".socket"].iter().any(|suffix| part.ends_with(suffix))
            {
                // What a service makes below itself is still its own.
                unit = unit.or(Some(part));
            }
        }
        let slice_uid = || {
            let part = path.split('/').find_map(|part| part.strip_prefix("user-")?.strip_suffix(".slice"));
            part.and_then(|uid| uid.parse().ok())
        };
        match (unit, uid) {
            (Some("init.scope"), uid) => Place::Init(uid),
            // What a manager starts to make the sockets of a socket unit.
            (Some(unit), uid) if unit.ends_with(".socket") => Place::Init(uid),
            (Some(unit), uid) if unit.ends_with(".service") => {
                Place::Service { unit: unit.to_owned(), manager: uid.map_or(Manager::System, Manager::User) }
            }
            (Some(scope), _) if scope.starts_with("session-") => {
                Place::Session { scope: scope.to_owned(), uid: slice_uid() }
            }
            (Some(scope), uid) => Place::Scope { scope: scope.to_owned(), uid: uid.or_else(slice_uid) },
            (None, Some(uid)) => Place::UserManager(uid),
            (None, None) => Place::Group(path.to_owned()),
        }
    }

    /// The service that is restarted if the process is killed.
    pub fn supervisor(&self) -> Option<(&str, Manager)> {
        match self {
            Place::Service { unit, manager } if !is_launcher(unit) => Some((unit, *manager)),
            _ => None,
        }
    }

    /// Whether it is this service of this manager.
    pub fn is_service(&self, name: &str, of_user: Option<u32>) -> bool {
        match self {
            Place::Service { unit, manager: Manager::System } => unit == name && of_user.is_none(),
            Place::Service { unit, manager: Manager::User(uid) } => unit == name && of_user == Some(*uid),
            _ => false,
        }
    }

    /// In words, after "is".
    pub fn in_words(&self) -> String {
        let user = |uid: &Option<u32>| uid.map(|uid| format!(" of user {uid}")).unwrap_or_default();
        match self {
            Place::Unknown => "in a place that could not be seen".to_owned(),
            Place::Init(None) => "systemd itself".to_owned(),
            Place::Init(Some(uid)) => format!("the manager of user {uid}"),
            Place::Service { unit, manager: Manager::System } if is_launcher(unit) => {
                format!("in {unit}, which starts what people ask for")
            }
            Place::Service { unit, manager: Manager::System } => format!("in {unit}"),
            Place::Service { unit, manager: Manager::User(uid) } => format!("in {unit} of user {uid}'s own manager"),
            Place::UserManager(uid) => format!("below the manager of user {uid} (user@{uid}.service)"),
            Place::Session { scope, uid } => format!("in a login session ({scope}{})", user(uid)),
            Place::Scope { scope, uid } => format!("in {scope}{}", user(uid)),
            Place::Container { id } => format!("in container {id}"),
            Place::Group(path) if path == "/" => "in no unit".to_owned(),
            Place::Group(path) => format!("in no unit (control group {path})"),
        }
    }
}

/// Whether a service starts what people ask for.
fn is_launcher(unit: &str) -> bool {
    LAUNCHERS.contains(&unit) || LAUNCHER_PREFIXES.iter().any(|prefix| unit.starts_with(prefix))
}

/// The identifier of a container by the name of its group: `docker-ID.scope`, `libpod-ID.scope`, or the bare ID below
/// `/docker`.
fn container(part: &str) -> Option<&str> {
    let bare = part.strip_suffix(".scope").unwrap_or(part);
    let id = bare.rsplit('-').next()?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| &id[..12])
}
