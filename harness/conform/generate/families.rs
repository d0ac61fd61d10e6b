//! What services do: restarts, limits, phases, timeouts, signals, conditions.

use super::{LOOP, Maker, RESTARTS, SLEEP, WAITS};

/// How long until a restart: after programs that end at once, that sleep once, and that sleep twice.
pub(super) const DELAYS: &[&[&str]] = &[
    &["100ms", "350ms", "600ms", "1.1s"],
    &["200ms", "450ms", "700ms", "1.2s", "1.45s"],
    &["50ms", "300ms", "550ms", "1.05s"],
];

impl Maker {
    /// RestartSec= for programs that sleep so often before they end.
    pub(super) fn delay(&mut self, sleeps: usize) {
        self.set_one("RestartSec", DELAYS[sleeps.min(DELAYS.len() - 1)]);
    }

    fn restarts(&mut self) {
        self.set_one("Restart", RESTARTS);
        self.delay(1);
        self.statuses();
    }

    fn statuses(&mut self) {
        for key in ["SuccessExitStatus", "RestartPreventExitStatus", "RestartForceExitStatus"] {
            if self.some(20) {
                self.set_one(key, &["1", "5 42", "TEMPFAIL", "SIGKILL", "143 TERM", "0", "1 SIGHUP 75"]);
            }
        }
    }

    /// Runs that end in several ways, one after the other.
    pub(super) fn sequence(&mut self) {
        self.restarts();
        self.set_unit("StartLimitIntervalSec", "0");
        for _ in 0..1 + self.random.below(3) {
            let end = self.end();
            self.runs.push(end);
        }
        if self.some(50) {
            self.at_one(5250, &["stop", "restart", "status", "reset-failed", "is-active"]);
        } else {
            self.at(5250, "is-failed");
        }
    }

    /// A start limit that restarts, or an operator, run into.
    pub(super) fn limit(&mut self) {
        self.restarts();
        let key = self.pick(&["StartLimitIntervalSec", "StartLimitInterval", "StartLimitIntervalSec"]);
        let interval = self.pick(&["10", "30s", "1min", "infinity", "5s 500ms"]);
        self.set_unit(key, interval);
        let burst = self.pick(&["1", "2", "3"]);
        self.set_unit("StartLimitBurst", burst);
        self.rest = self.end();
        self.at_one(4750, &["start", "restart", "is-failed", "reset-failed", "status"]);
        if self.some(50) {
            self.at(6500, "start");
        }
    }

    /// Every phase with commands that succeed, fail or take a while.
    pub(super) fn phases(&mut self) {
        self.kind = self.pick(&["simple", "exec", "oneshot", "forking"]);
        for key in ["ExecCondition", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost"] {
            if self.some(40) {
                // Whoever is killed because of a command after it is to have begun.
                let commands: &[&str] = match key {
                    "ExecStartPost" => {
                        &["/bin/true", "-/bin/false", "/bin/sh -c 'sleep 0.4; exit 7'", "/bin/sleep 0.4"]
                    }
                    _ => &[
                        "/bin/true",
                        "-/bin/false",
                        "/bin/false",
                        "/bin/sh -c 'exit 7'",
                        "/bin/sleep 0.4",
                        "/bin/true",
                        "-/nonexistent",
                    ],
                };
                self.set_one(key, commands);
                if self.some(20) {
                    self.set_one(key, commands);
                }
            }
        }
        let quick = self.pick(&["exit 0", "sleep 0.4; exit 0"]);
        let end = if self.some(50) { self.end() } else { quick.to_owned() };
        let forks = ["sleep 100 & exit 0", "sleep 100 & exit 3", "exit 0", "sleep 0.4; sleep 0.65 & exit 0"];
        let stays = self.some(35);
        self.rest = match self.kind {
            "forking" => self.pick(&forks).to_owned(),
            "oneshot" => end,
            _ if stays => SLEEP.to_owned(),
            _ => self.end(),
        };
        if self.kind == "oneshot" && self.some(40) {
            self.set("RemainAfterExit", "yes");
        }
        if self.kind != "oneshot" && self.some(30) {
            self.set_one("Restart", &["always", "on-failure", "on-success"]);
            self.delay(usize::from(self.rest.starts_with("sleep 0.")));
            self.set_unit("StartLimitBurst", "3");
        }
        self.at_one(2250, &["stop", "restart", "stop", "status", "start"]);
    }

    /// What takes longer than it may.
    pub(super) fn timeouts(&mut self) {
        self.kind = self.pick(&["simple", "oneshot", "forking", "notify", "exec"]);
        self.set_one("TimeoutStartSec", WAITS);
        self.set_one("TimeoutStopSec", WAITS);
        if self.some(40) {
            self.set_one("TimeoutStopFailureMode", &["terminate", "abort", "kill"]);
            self.set("LimitCORE", "0");
        }
        if self.some(20) {
            self.set_one("TimeoutStartFailureMode", &["terminate", "kill"]);
        }
        if self.some(30) {
            let key = self.pick(&["ExecStartPre", "ExecStop", "ExecStopPost", "ExecStartPost", "ExecCondition"]);
            self.set_one(key, &["/bin/sleep 5", "/bin/true"]);
        }
        if self.some(40) && self.kind != "oneshot" {
            self.set_one("RuntimeMaxSec", WAITS);
        }
        if self.some(50) {
            self.preamble.push("trap \"\" TERM".to_owned());
        }
        self.rest = self.pick(&[SLEEP, LOOP]).to_owned();
        self.at(3250, "stop");
    }

    /// Which signals whom.
    pub(super) fn kill(&mut self) {
        if self.some(70) {
            self.set_one("KillMode", &["control-group", "mixed", "process"]);
        }
        if self.some(40) {
            self.set_one("KillSignal", &["SIGINT", "SIGHUP", "SIGUSR1", "SIGKILL", "SIGQUIT"]);
            self.set("LimitCORE", "0");
        }
        if self.some(20) {
            self.set_one("RestartKillSignal", &["SIGINT", "SIGHUP", "SIGUSR2"]);
        }
        if self.some(30) {
            self.set("SendSIGHUP", "yes");
        }
        if self.some(15) {
            self.set("SendSIGKILL", "no");
        }
        if self.some(10) {
            self.set_one("FinalKillSignal", &["SIGKILL", "SIGTERM"]);
        }
        if self.some(40) {
            self.set_one("Restart", &["always", "on-failure"]);
            self.delay(0);
        }
        self.set("TimeoutStopSec", "600ms");
        if self.some(50) {
            let trap =
                self.pick(&["trap \"\" TERM", "trap \"exit 0\" TERM", "trap \"exit 3\" INT", "trap \"exit 0\" HUP"]);
            self.preamble.push(trap.to_owned());
        }
        self.rest = self.pick(&[SLEEP, LOOP, LOOP, "sleep 100 & exec sleep 90"]).to_owned();
        let who = [
            "stop",
            "kill",
            "kill -s KILL",
            "restart",
            "kill --kill-who=main -s INT",
            "kill -s HUP",
            "kill -s USR2 --kill-who=control",
        ];
        let verb = self.pick(&who);
        if verb.starts_with("kill") && !self.service.iter().any(|line| line == "KillMode=control-group") {
            // Whether the shell's child is gone when the shell is would be a toss.
            self.rest = SLEEP.to_owned();
        }
        self.at(500, verb);
        self.at_one(3250, &["stop", "status", "is-active"]);
    }

    /// Services that are done when their command is.
    pub(super) fn oneshot(&mut self) {
        self.kind = "oneshot";
        self.set_one("Restart", &["no", "on-failure", "on-abnormal", "no"]);
        if self.some(40) {
            self.set("RemainAfterExit", "yes");
        }
        if self.some(30) {
            self.set("ExecStart", "/bin/sh @DIR@/prog.sh");
            self.set_one("ExecStart", &["/bin/true", "-/bin/false", "/bin/sleep 0.4", "/bin/sh -c 'exit 4'"]);
        }
        self.statuses();
        self.set_unit("StartLimitIntervalSec", "30");
        self.set_unit("StartLimitBurst", "3");
        self.rest = match self.some(40) {
            true => self.end(),
            false => self.pick(&["exit 0", "sleep 0.65; exit 0"]).to_owned(),
        };
        let sleeps = self.service.iter().filter(|line| line.contains("sleep 0.")).count();
        self.delay(sleeps + self.rest.matches("sleep 0.").count());
        self.at_one(3250, &["start", "restart", "stop", "is-active", "is-failed", "try-restart"]);
    }

    /// Starts that are skipped or refused.
    pub(super) fn conditions(&mut self) {
        let key = self.pick(&[
            "ConditionPathExists",
            "ConditionPathIsDirectory",
            "AssertPathExists",
            "ConditionFileNotEmpty",
            "ConditionFileIsExecutable",
        ]);
        let value = self.pick(&[
            "/nonexistent",
            "!/nonexistent",
            "/",
            "!/",
            "|/nonexistent",
            "|!/nonexistent",
            "/bin/sh",
            "@DIR@/prog.sh",
        ]);
        self.set_unit(key, value);
        if self.some(40) {
            let value = self.pick(&["|/nonexistent", "|/", "/", ""]);
            self.set_unit("ConditionPathExists", value);
        }
        self.set_one("Restart", &["always", "no"]);
        self.delay(1);
        self.rest = self.pick(&[SLEEP, "sleep 0.4; exit 1"]).to_owned();
        self.at_one(1500, &["status", "start", "restart", "try-restart", "is-failed", "stop"]);
    }

    /// A command while the unit waits to be restarted.
    pub(super) fn waiting(&mut self) {
        self.set_one("Restart", &["always", "on-failure"]);
        self.set_one("RestartSec", &["1.2s", "1.45s", "1.7s"]);
        self.set_unit("StartLimitIntervalSec", "0");
        self.runs = vec!["sleep 0.15; exit 1".to_owned()];
        let verbs = [
            "stop",
            "start",
            "restart",
            "status",
            "is-active",
            "is-failed",
            "reset-failed",
            "kill",
            "try-restart",
            "reload-or-restart",
            "daemon-reload",
            "start --no-block",
            "restart --no-block",
        ];
        self.at_one(500, &verbs);
        if self.some(40) {
            self.at_one(1000, &["is-active", "start", "stop", "show -p NRestarts,SubState"]);
        }
    }

    /// Services that are reloaded.
    pub(super) fn reload(&mut self) {
        let commands = ["/bin/true", "/bin/false", "-/bin/false", "/bin/sleep 0.4", "/bin/kill -HUP $MAINPID"];
        self.set_one("ExecReload", &commands);
        if self.some(40) {
            self.set_one("ExecReload", &["/bin/true", "/bin/false"]);
        }
        let trap = self.pick(&["trap \"\" HUP", "trap \"echo hup >> seen\" HUP"]);
        self.preamble.push(trap.to_owned());
        self.rest = LOOP.to_owned();
        self.at_one(500, &["reload", "reload-or-restart", "try-reload-or-restart", "reload"]);
        self.at_one(1750, &["stop", "reload", "restart", "status", "kill -s HUP --kill-who=main"]);
    }

    /// Services whose start leaves a process behind.
    pub(super) fn forking(&mut self) {
        self.kind = "forking";
        let after = self.pick(&["0.15", "0.65", "0.9"]);
        let pid_file = self.some(50);
        if pid_file {
            self.set("PIDFile", "@DIR@/pid");
        }
        let child = match self.random.below(4) {
            0 => format!("(sleep {after}; exit 3) &"),
            1 => format!("(sleep {after}; kill -KILL $(cat pid 2>/dev/null || echo 0)) &"),
            _ => "sleep 100 &".to_owned(),
        };
        let child =
            if pid_file { child } else { child.replace("kill -KILL $(cat pid 2>/dev/null || echo 0)", "exit 0") };
        let written = self.pick(&["echo $! > pid; ", "echo $! > pid; ", ""]);
        let end = self.pick(&["exit 0", "exit 0", "exit 1", "sleep 0.4; exit 0"]);
        self.rest = format!("{child} {written}{end}");
        self.set_one("TimeoutStartSec", WAITS);
        self.set_one("Restart", &["no", "on-failure", "always", "on-abnormal"]);
        self.delay(self.rest.matches("sleep 0.").count().min(1));
        self.set_unit("StartLimitBurst", "3");
        if self.some(25) {
            self.set("GuessMainPID", "no");
        }
        self.at_one(3250, &["stop", "restart", "status", "kill", "is-active"]);
    }
}
