//! What a scenario's blocks do on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{CONTROL, GRID, HOLD, LATENCY, OnSystemd, PATH, SHIMS, open_directory};
use crate::program::EXECUTABLE;
use crate::run::Fault;
use crate::run::console::CommandOutcome;
use crate::run::incident::{Reached, StandIn};
use crate::run::stage::{self, Stage};
use crate::sys::real_time;
use crate::time::{IncidentTime, Span};
use crate::timeline::{EventKind, Timeline};

impl Stage for OnSystemd {
    fn now(&mut self) -> IncidentTime {
        self.clock.now()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn slack(&self) -> Span {
        GRID + LATENCY.saturating_mul(self.factor)
    }

    fn prints_to_the_letter(&self) -> bool {
        false
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn event(&mut self, kind: EventKind) {
        self.hold(real_time(), kind);
    }

    fn describe(&mut self, stand_in: StandIn, paths: &[String]) -> Result<(), Fault> {
        stage::describe(&mut self.stand_ins, stand_in);
        for path in paths {
            if let Some((parent, _)) = path.rsplit_once('/') {
                open_directory(self.container.kept_root(), parent)?;
            }
            match symlink(EXECUTABLE, self.below(path)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn write_unit(&mut self, path: &str, text: &str) -> Result<(), Fault> {
        self.write(path, text.as_bytes())?;
        fs::set_permissions(self.below(path), fs::Permissions::from_mode(0o644))?;
        Ok(self.scale.write(self.container.kept_root())?)
    }

    fn write_file(&mut self, path: &str, text: &str, _is_shell: bool) -> Result<(), Fault> {
        self.write(path, text.as_bytes())
    }

    fn wait_until(&mut self, at: IncidentTime) -> Result<(), Fault> {
        let until = self.real_time(at);
        while real_time() < until {
            self.pump(until)?;
            self.come_up()?;
            while self.release(real_time().saturating_sub(HOLD)) {}
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<IncidentTime, Fault> {
        let present = real_time();
        while real_time() < present + HOLD {
            self.pump(present + HOLD)?;
        }
        while self.release(present) {}
        Ok(self.incident_time(present))
    }

    fn go_on(&mut self, limit: IncidentTime, goal: &mut dyn FnMut(&Timeline) -> bool) -> Result<Reached, Fault> {
        let limit = self.real_time(limit);
        loop {
            if goal(&self.timeline) {
                return Ok(Reached::Goal);
            }
            if self.release(limit.min(real_time().saturating_sub(HOLD))) {
                continue;
            }
            if real_time() >= limit.saturating_add(HOLD) {
                return Ok(Reached::Limit);
            }
            self.pump(limit.saturating_add(HOLD))?;
            self.come_up()?;
        }
    }

    fn command(
        &mut self,
        number: u32,
        text: &str,
        directory: &str,
        variables: &BTreeMap<String, String>,
        budget: IncidentTime,
    ) -> Result<Option<CommandOutcome>, Fault> {
        self.set_first_pid();
        let (script, out) = (format!("/relapse/out/{number}.sh"), format!("/relapse/out/{number}"));
        fs::write(self.below(&script), format!("{text}\n"))?;
        let mut environment: Vec<(String, String)> = [
            ("PATH", format!("{SHIMS}:{PATH}").as_str()),
            ("HOME", directory),
            ("USER", &self.setup.console_user),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("SYSTEMD_PAGER", ""),
            (crate::control::ENV_CONTROL, CONTROL),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        environment.extend(variables.clone());
        let argv = ["bash", "-c", &format!(". {script}"), "bash"].map(str::to_owned).to_vec();
        let shell = if self.below("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
        let pid = self.spawn(shell, argv, environment, directory, &out)?.unsigned_abs();
        let limit = self.real_time(budget);
        let status = loop {
            if let Some(status) = self.statuses.get(&pid) {
                break status.as_shell();
            }
            if self.container.guard.is_none() {
                break 0;
            }
            if real_time() > limit {
                return Ok(None);
            }
            self.pump(limit)?;
            while self.release(real_time().saturating_sub(HOLD)) {}
        };
        // A machine that is asked to reboot does so a moment after the command has ended.
        let reboots = text.split_whitespace().any(|word| word == "reboot");
        while reboots && self.container.guard.is_some() && real_time() < limit {
            self.pump(limit)?;
        }
        self.come_up()?;
        let bytes = self.read(&out).unwrap_or_default();
        let mut output = String::from_utf8_lossy(&bytes).replace(&format!("{script}: "), "bash: ");
        // Before it asks systemd to reboot, systemctl(1) asks logind, of which the machine has none.
        if let Some(rest) =
            output.strip_prefix("Failed to connect to bus: No such file or directory\n").filter(|_| reboots)
        {
            output = rest.to_owned();
        }
        Ok(Some(CommandOutcome { output, status }))
    }
}
