//! What a command line is to do, task by task (systemctl(1)).

use std::collections::VecDeque;

use crate::manager::Request;

use super::dependencies::Walk;
use super::{Listing, Systemctl, Task, jobs, loadable};

impl Systemctl {
    /// The tasks that a command line begins with.
    pub(super) fn plan(&mut self) {
        let operands = self.options.operands.clone();
        let listing = match self.options.verb.as_str() {
            "" => return,
            "list-units" => Listing::Units,
            "list-unit-files" => Listing::UnitFiles,
            "list-jobs" => Listing::Jobs,
            "list-sockets" => Listing::Sockets,
            "list-timers" | "list-paths" | "list-automounts" => Listing::Others,
            "is-system-running" => Listing::SystemState,
            "get-default" => Listing::DefaultTarget,
            "is-failed" if operands.is_empty() => Listing::IsSystemFailed,
            "status" if operands.is_empty() => Listing::Machine,
            "show" if operands.is_empty() && self.options.states.is_empty() && self.options.types.is_empty() => {
                Listing::ManagerProperties
            }
            "daemon-reload" | "daemon-reexec" => {
                let what = "reload daemon".to_owned();
                return self.tasks.push_back(Task::Request { request: Request::DaemonReload, what });
            }
            "reboot" => {
                let what = "reboot system via systemd".to_owned();
                return self.tasks.push_back(Task::Request { request: Request::Reboot, what });
            }
            "clear-jobs" => return self.plan_cancel(&[]),
            "cancel" => return self.plan_cancel(&operands),
            "list-dependencies" => return self.plan_trees(operands),
            "reset-failed" if operands.is_empty() => {
                let what = "reset failed state".to_owned();
                let request = Request::ResetFailed { unit: None };
                return self.tasks.push_back(Task::Request { request, what });
            }
            "enable" | "disable" | "reenable" | "preset" | "mask" | "unmask" | "is-enabled" | "set-default" => {
                return self.plan_unit_files(&operands);
            }
            _ => return self.tasks.push_back(Task::Expand(operands)),
        };
        self.tasks.push_back(Task::Now(listing));
    }

    /// Cancels jobs by their numbers, or all of them.
    fn plan_cancel(&mut self, words: &[String]) {
        if words.is_empty() {
            let what = "clear jobs".to_owned();
            return self.tasks.push_back(Task::Request { request: Request::ClearJobs, what });
        }
        let ignoring = if self.version >= 254 { ", ignoring" } else { "" };
        for word in words {
            match jobs::number(word) {
                Ok(job) => {
                    let what = format!("cancel job {job}{ignoring}");
                    self.tasks.push_back(Task::Request { request: Request::CancelJob { job }, what });
                }
                // Those before it are still cancelled.
                Err(reason) => {
                    return self.tasks.push_back(Task::Refuse(format!("Failed to parse job id \"{word}\": {reason}")));
                }
            }
        }
    }

    /// The trees of `list-dependencies`.
    fn plan_trees(&mut self, mut operands: Vec<String>) {
        if self.version < 254 {
            self.options.types.clear();
            self.options.states.clear();
        }
        // A tree with gaps is not drawn.
        self.options.plain |= !self.options.types.is_empty() || !self.options.states.is_empty();
        if operands.is_empty() {
            operands.push("default.target".to_owned());
        }
        self.tasks.push_back(Task::Expand(operands));
    }

    /// Begins the tree of a unit.
    pub(super) fn tree(&mut self, unit: String) {
        self.set_apart();
        self.output.say(&unit);
        if loadable(&unit) {
            return self.tasks.push_front(Task::Walk(Walk::new(unit, self.options.glyphs)));
        }
        self.output.complain(format!(
            "Failed to get properties of {unit}: Unit name {unit} is neither a valid invocation ID nor unit name."
        ));
        self.output.code = 1;
        self.tasks.clear();
    }

    fn plan_unit_files(&mut self, operands: &[String]) {
        let verb = self.options.verb.clone();
        let Some(units) = operands.iter().map(|word| self.mangle(word)).collect::<Option<Vec<String>>>() else {
            self.output.code = 1;
            return;
        };
        let runtime = self.options.runtime;
        let mut requests = VecDeque::new();
        match verb.as_str() {
            "is-enabled" => {
                self.tasks.extend(units.into_iter().map(Task::IsEnabled));
                return self.tasks.push_back(Task::Now(Listing::Tally));
            }
            "set-default" => {
                let mut units = units.iter().cloned();
                requests.extend(units.next().map(|unit| Request::SetDefault { unit }));
            }
            "disable" => requests.push_back(Request::Disable { units: units.clone(), runtime }),
            "mask" => requests.push_back(Request::Mask { units: units.clone(), runtime }),
            "unmask" => requests.push_back(Request::Unmask { units: units.clone(), runtime }),
            "preset" => {
                let mode = self.options.preset_mode;
                requests.push_back(Request::Preset { units: units.clone(), runtime, mode });
            }
            "reenable" => {
                requests.push_back(Request::Disable { units: units.clone(), runtime });
                requests.push_back(Request::Enable { units: units.clone(), runtime });
            }
            _ => requests.push_back(Request::Enable { units: units.clone(), runtime }),
        }
        if matches!(verb.as_str(), "mask" | "unmask") {
            self.tasks.extend(units.iter().cloned().map(Task::Exists));
        }
        self.tasks.extend(requests.into_iter().map(|request| Task::UnitFiles { verb: verb.clone(), request }));
        if !self.options.no_reload {
            let what = "reload daemon".to_owned();
            self.tasks.push_back(Task::Request { request: Request::DaemonReload, what });
        }
        if self.options.now {
            let job = match verb.as_str() {
                "enable" => "start",
                "disable" | "mask" => "stop",
                _ => return,
            };
            self.plan_jobs(job, units);
        }
    }
}
