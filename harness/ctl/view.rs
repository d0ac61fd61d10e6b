//! What the commands can look at: the machine as it is at one moment.

use crate::journal::{Journal, Machine};
use crate::manager::{JobId, Pid};
use crate::time::IncidentTime;
use crate::unit::{Files, Profile};

use super::install;

/// A process of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitProcess {
    /// Incident PID.
    pub pid: Pid,
    /// The kernel's name of it.
    pub comm: String,
    /// Its arguments, joined by blanks.
    pub cmdline: String,
}

/// A job in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// Its number.
    pub id: JobId,
    /// Its unit.
    pub unit: String,
    /// `start`, `stop`, `restart`, ….
    pub job_type: String,
    /// `waiting` or `running`.
    pub state: String,
}

/// A unit file that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    /// Its name, with suffix.
    pub name: String,
    /// `enabled`, `disabled`, `static`, … (systemctl(1), "is-enabled").
    pub state: String,
    /// `enabled` or `disabled`, `None` where systemd shows none.
    pub preset: Option<String>,
}

/// A condition or assertion of a unit that kept it from being started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// `ConditionPathExists`, `AssertPathExists`, ….
    pub key: String,
    /// `|`
    pub trigger: bool,
    /// `!`
    pub negate: bool,
    /// What was tested.
    pub parameter: String,
}

/// The machine as it is now. A unit that is not loaded is looked at as if it were loaded at that moment, which is
/// why [`super::systemctl::Systemctl`] asks for [`crate::manager::Request::Load`] before it looks.
pub trait View {
    /// The time.
    fn now(&self) -> IncidentTime;
    /// Host name, boot and IDs.
    fn machine(&self) -> &Machine;
    /// The unit directories.
    fn files(&self) -> &Files;
    /// The journal.
    fn journal(&self) -> &Journal;
    /// The names of all loaded units, aliases left out.
    fn units(&self) -> Vec<String>;
    /// The jobs in the queue, in order of their numbers.
    fn jobs(&self) -> Vec<JobInfo>;
    /// All properties of a unit in the order of `systemctl show`, those with an empty value too. A property that is
    /// shown as several lines (`ExecStart=` with several commands) is there as often.
    fn properties(&self, unit: &str) -> Vec<(&'static str, String)>;
    /// The processes of the unit, in order of PID.
    fn processes(&self, unit: &str) -> Vec<UnitProcess>;
    /// The conditions (those that were not met) and the assertion that failed at the last attempt to start.
    fn unmet(&self, _unit: &str) -> Vec<Unmet> {
        Vec::new()
    }
    /// Whose words and rules.
    fn profile(&self) -> Profile;
    /// The unit files on disk, in any order.
    fn unit_files(&self) -> Vec<UnitFile> {
        install::unit_files(self.files(), self.profile())
    }
    /// `is-enabled` of a name that need not be loadable, such as a template; `None` if there is no such file.
    fn unit_file_state(&self, name: &str) -> Option<String> {
        install::unit_file_state(self.files(), name, self.profile()).map(str::to_owned)
    }
}
