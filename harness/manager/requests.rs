//! What clients ask for (org.freedesktop.systemd1.Manager, as systemctl(1) uses it).

use super::catalog::level;
use super::interface::{
    Effect, JobMode, JobResult, JobVerb, KillWhom, Reply, Request, RequestError, RequestErrorKind, RequestId,
};
use super::job::JobType;
use super::loaded::{Kind, UnitId};
use super::states::{ActiveState, ServiceResult, ServiceState, SocketResult, SocketState};
use super::step::Step;
use crate::unit::install::Verb;
use crate::unit::signal::SIGKILL;
use crate::unit::{LoadState, NameKind, name as unit_name};

fn error(kind: RequestErrorKind, message: String) -> RequestError {
    RequestError::new(kind, message)
}

fn not_loaded(name: &str) -> RequestError {
    error(RequestErrorKind::NoSuchUnit, format!("Unit {name} not loaded."))
}

impl Step<'_> {
    /// Carries out a client's request and answers it.
    pub(super) fn request(&mut self, id: RequestId, request: Request) {
        let reply = match request {
            Request::Job { verb, unit, mode } => match self.request_job(verb, &unit, mode) {
                Ok(JobOrNothing::Job(job)) => Reply::Job(job),
                Ok(JobOrNothing::Nothing { job, unit }) => {
                    self.out.push(Effect::Reply { id, reply: Reply::Job(job) });
                    self.out.push(Effect::JobRemoved { job, unit: unit.into(), result: JobResult::Done });
                    return;
                }
                Err(error) => Reply::Error(error),
            },
            Request::Load { unit } => {
                let unit = self.load(&unit);
                self.pin(unit);
                Reply::Done
            }
            Request::Show { unit } => {
                let unit = self.load(&unit);
                self.pin(unit);
                self.look_up_file_state(unit);
                Reply::Done
            }
            Request::FileState { unit } => {
                self.read_file_state(&unit);
                Reply::Done
            }
            Request::ResetFailed { unit: None } => {
                for unit in self.present_units().into_values() {
                    self.reset_failed(unit);
                }
                Reply::Done
            }
            Request::ResetFailed { unit: Some(name) } => match self.m.id(&name).filter(|u| self.unit(*u).present) {
                Some(unit) => {
                    self.reset_failed(unit);
                    Reply::Done
                }
                None => Reply::Error(not_loaded(&name)),
            },
            Request::Clean { unit, what } => match self.clean(&unit, &what) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Error(error),
            },
            Request::Kill { unit, whom, signal } => match self.kill_request(&unit, whom, signal) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Error(error),
            },
            Request::DaemonReload => {
                self.log_manager(level::INFO, "Reloading.");
                self.daemon_reload();
                Reply::Done
            }
            Request::Enable { units, runtime } => self.change_unit_files(Verb::Enable, &units, runtime),
            Request::Disable { units, runtime } => self.change_unit_files(Verb::Disable, &units, runtime),
            Request::Mask { units, runtime } => self.change_unit_files(Verb::Mask, &units, runtime),
            Request::Unmask { units, runtime } => self.change_unit_files(Verb::Unmask, &units, runtime),
            Request::Preset { units, runtime, mode } => self.change_unit_files(Verb::Preset(mode), &units, runtime),
            Request::SetDefault { unit } => self.change_unit_files(Verb::SetDefault, &[unit], false),
            Request::CancelJob { job } => {
                let owner = self.m.unit_of_job(job);
                match owner {
                    Some(unit) => {
                        self.finish_job(unit, JobResult::Canceled, true, false);
                        Reply::Done
                    }
                    None => {
                        let message = format!("Job {job} does not exist.");
                        Reply::Error(error(RequestErrorKind::Failed, message))
                    }
                }
            }
            Request::ClearJobs => {
                self.clear_jobs();
                Reply::Done
            }
            Request::Reboot => {
                self.out.push(Effect::Reply { id, reply: Reply::Done });
                self.out.push(Effect::Reboot);
                return;
            }
        };
        self.out.push(Effect::Reply { id, reply });
    }

    fn request_job(&mut self, verb: JobVerb, name: &str, mode: JobMode) -> Result<JobOrNothing, RequestError> {
        if unit_name::kind(name) == Some(NameKind::Template) {
            let message = format!("Unit name {name} is missing the instance name.");
            return Err(error(RequestErrorKind::Failed, message));
        }
        let unit = self.load(name);
        let this = self.unit(unit);
        let (state, loaded) = (this.active(), this.def.load_state);
        let reloads = self.can_reload(unit);
        let verb = match verb {
            JobVerb::ReloadOrRestart if !reloads => JobVerb::Restart,
            JobVerb::TryReloadOrRestart if !reloads => JobVerb::TryRestart,
            verb => verb,
        };
        if verb == JobVerb::Stop
            && matches!(loaded, LoadState::NotFound | LoadState::Error | LoadState::BadSetting)
            && state == ActiveState::Inactive
        {
            return Err(not_loaded(&self.unit(unit).name));
        }
        let this = self.unit(unit);
        let refused = match verb {
            JobVerb::Start => this.def.refuse_manual_start,
            JobVerb::Stop => this.def.refuse_manual_stop,
            JobVerb::Restart | JobVerb::TryRestart => this.def.refuse_manual_start || this.def.refuse_manual_stop,
            JobVerb::ReloadOrRestart => this.def.refuse_manual_start && !state.is_up_or_coming(),
            JobVerb::Reload | JobVerb::TryReloadOrRestart => false,
        };
        if refused {
            let message = format!(
                "Operation refused, unit {} may be requested by dependency only (it is configured to refuse manual \
                 start/stop).",
                this.name
            );
            return Err(error(RequestErrorKind::OnlyByDependency, message));
        }
        let kind = match verb {
            JobVerb::Start => JobType::Start,
            JobVerb::Stop => JobType::Stop,
            JobVerb::Reload => JobType::Reload,
            JobVerb::Restart => JobType::Restart,
            JobVerb::TryRestart if state.is_up_or_coming() => JobType::Restart,
            JobVerb::ReloadOrRestart if state.is_up_or_coming() => JobType::Reload,
            JobVerb::ReloadOrRestart => JobType::Start,
            JobVerb::TryReloadOrRestart if state.is_up_or_coming() => JobType::Reload,
            // Nothing runs, so there is nothing to try: a job that does nothing.
            JobVerb::TryRestart | JobVerb::TryReloadOrRestart => {
                // But it has to be a unit that could be started.
                if let Some(error) = self.refuses(unit, JobType::Restart) {
                    return Err(error);
                }
                return Ok(JobOrNothing::Nothing { job: self.m.next_job_id(), unit: self.unit(unit).name.to_string() });
            }
        };
        self.add_job_in(unit, kind, mode).map(JobOrNothing::Job)
    }

    /// Cancels every job, the newest first; none of them takes others along.
    fn clear_jobs(&mut self) {
        let mut jobs: Vec<_> = (self.present_units().into_values())
            .filter_map(|unit| Some((self.unit(unit).job.as_ref()?.id, unit)))
            .collect();
        jobs.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        for (id, unit) in jobs {
            // The end of another job may have ended this one.
            if self.unit(unit).job.as_ref().is_some_and(|job| job.id == id) {
                self.finish_job(unit, JobResult::Canceled, false, false);
            }
        }
    }

    /// `reset-failed`: the failed state, the counters and the start limit start over.
    fn reset_failed(&mut self, unit: UnitId) {
        match self.unit(unit).kind {
            Kind::Service => {
                if self.state(unit) == ServiceState::Failed {
                    let dead = self.dead_state(unit);
                    self.set_state(unit, dead);
                }
                let run = &mut self.unit_mut(unit).service;
                run.result = ServiceResult::Success;
                run.reload_result = ServiceResult::Success;
                run.n_restarts = 0;
                run.flush_n_restarts = false;
            }
            Kind::Socket => {
                if self.unit(unit).socket.state == SocketState::Failed {
                    self.set_socket_state(unit, SocketState::Dead);
                }
                self.unit_mut(unit).socket.result = SocketResult::Success;
            }
            Kind::Target | Kind::Other => {}
        }
        let this = self.unit_mut(unit);
        this.start_limit.reset();
        this.start_limit_hit = false;
        self.queue_gc(unit);
    }

    fn kill_request(&mut self, name: &str, whom: KillWhom, signal: i32) -> Result<(), RequestError> {
        let Some(unit) = self.m.id(name).filter(|unit| self.unit(*unit).present) else {
            return Err(not_loaded(name));
        };
        let this = self.unit(unit);
        let (main, control) = match this.kind {
            Kind::Service => (this.service.main_pid, this.service.control_pid),
            _ => (0, 0),
        };
        let missing = match whom {
            KillWhom::Main if this.kind != Kind::Service => {
                Some(format!("{} units have no main processes", kind_word(&this.name)))
            }
            KillWhom::Control if this.kind != Kind::Service => {
                Some(format!("{} units have no control processes", kind_word(&this.name)))
            }
            KillWhom::Main if main == 0 => Some("No main process to kill".to_owned()),
            KillWhom::Control if control == 0 => Some("No control process to kill".to_owned()),
            _ => None,
        };
        if let Some(message) = missing {
            return Err(error(RequestErrorKind::Failed, message));
        }
        let name = self.unit(unit).name.clone();
        let (processes, waiting) = (self.host.processes(&name), self.m.waiting_children(&name));
        let comm = |pid| {
            // A child that has not become its program calls itself after it.
            let child = waiting.iter().find(|(child, _)| *child == pid).map(|(_, comm)| comm);
            let comm = processes.iter().find(|p| p.pid == pid).map(|p| &p.comm).or(child);
            comm.map_or("n/a", String::as_str)
        };
        let word = crate::unit::signal::name(signal);
        for (pid, role) in [(control, "control"), (main, "main")] {
            let wanted = match whom {
                KillWhom::All => true,
                KillWhom::Main => role == "main",
                KillWhom::Control => role == "control",
            };
            if pid != 0 && wanted {
                let text = format!("Sent signal SIG{word} to {role} process {pid} ({}) on client request.", comm(pid));
                self.log(unit, level::INFO, &text);
                self.signal(unit, pid, signal);
            }
        }
        if whom == KillWhom::All && self.m.rules.new_words && signal == SIGKILL && !processes.is_empty() {
            self.log(unit, level::INFO, "Killed unit cgroup with SIGKILL on client request.");
            for process in processes.iter().filter(|p| p.pid != main && p.pid != control) {
                self.signal(unit, process.pid, signal);
            }
        } else if whom == KillWhom::All {
            for process in processes.iter().filter(|p| p.pid != main && p.pid != control) {
                let text = format!(
                    "Sending signal SIG{word} to process {} ({}) on client request.",
                    process.pid, process.comm
                );
                self.log(unit, level::INFO, &text);
                self.signal(unit, process.pid, signal);
            }
        }
        Ok(())
    }
}

/// A job, or one that is done as soon as it is asked for.
enum JobOrNothing {
    Job(u32),
    Nothing { job: u32, unit: String },
}

fn kind_word(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, suffix)| suffix)
}
