//! What operators do, what programs tell the manager, and units that depend on each other.

use super::families::DELAYS;
use super::{LOOP, Maker, RESTARTS, SLEEP, WAITS};

impl Maker {
    /// One command after the other, in any order.
    pub(super) fn operator(&mut self) {
        self.set_one("Restart", RESTARTS);
        self.set("TimeoutStopSec", "600ms");
        if self.some(40) {
            self.set("ExecReload", "/bin/true");
        }
        if self.some(40) {
            self.install.push("WantedBy=multi-user.target".to_owned());
        }
        if self.some(30) {
            self.set_unit("StartLimitBurst", "3");
        }
        let end = self.end();
        self.rest = self.pick(&[SLEEP, LOOP, ""]).to_owned();
        if self.rest.is_empty() {
            self.rest = end;
        }
        self.delay(self.rest.matches("sleep 0.").count());
        let verbs = [
            "start",
            "stop",
            "restart",
            "try-restart",
            "reload-or-restart",
            "reload",
            "kill",
            "kill -s KILL",
            "kill -s HUP",
            "reset-failed",
            "is-active",
            "is-failed",
            "is-enabled",
            "status",
            "enable",
            "disable",
            "daemon-reload",
            "start --no-block",
            "stop --no-block",
            "restart --no-block",
            "enable --now",
            "disable --now",
            "mask --runtime",
            "unmask --runtime",
            "start --job-mode=fail",
            "stop --job-mode=ignore-dependencies",
            "cat",
            "try-reload-or-restart",
            "start --quiet",
            "is-active --quiet",
            "mask",
            "unmask",
        ];
        let mut at = 0;
        for _ in 0..3 + self.random.below(4) {
            at += self.random.choose(&[1000, 1250, 1750]);
            self.at_one(at, &verbs);
        }
    }

    /// Services that say how they are.
    pub(super) fn notify(&mut self) {
        self.kind = "notify";
        self.set("NotifyAccess", "all");
        self.set_one("TimeoutStartSec", WAITS);
        self.set("TimeoutStopSec", "850ms");
        self.set("LimitCORE", "0");
        self.set_one("Restart", &["no", "on-failure", "always", "on-watchdog"]);
        self.set_unit("StartLimitBurst", "2");
        self.rest = self
            .pick(&[
                "sleep 0.15; systemd-notify --ready --status='Up and running'; exec sleep 100",
                "systemd-notify --ready; sleep 0.4; exit 0",
                "systemd-notify --ready; sleep 0.4; exit 5",
                "sleep 0.4; exit 0",
                "exec sleep 100",
                "systemd-notify --ready; sleep 0.4; systemd-notify STOPPING=1; sleep 0.4; exit 0",
                "systemd-notify --ready; sleep 0.4; systemd-notify WATCHDOG=1; exec sleep 100",
                "systemd-notify --ready; sleep 0.4; systemd-notify WATCHDOG=trigger; exec sleep 100",
                "systemd-notify --ready; sleep 0.4; systemd-notify RELOADING=1; sleep 0.4; systemd-notify --ready; exec sleep 100",
                "systemd-notify EXTEND_TIMEOUT_USEC=2000000; sleep 1.5; systemd-notify --ready; exec sleep 100",
                "systemd-notify --status='Loading 50%'; sleep 0.15; systemd-notify ERRNO=2; sleep 0.15; exit 1",
            ])
            .to_owned();
        // Commands that speak to the manager take their time: it is not tried when exactly they are started again.
        self.set_one("RestartSec", &["1min", "5min"]);
        if self.some(40) {
            self.set_one("WatchdogSec", &DELAYS[usize::from(self.rest.contains("sleep 0."))][2..]);
            self.set_one("WatchdogSignal", &["SIGTERM", "SIGKILL", "SIGABRT"]);
        }
        self.at_one(750, &["status", "is-active", "show -p StatusText,StatusErrno,SubState", "stop"]);
        self.at_one(2500, &["stop", "restart", "status", "is-failed"]);
    }

    /// What is enabled, disabled, masked.
    pub(super) fn install(&mut self) {
        let wanted = self.pick(&[
            "WantedBy=multi-user.target",
            "RequiredBy=multi-user.target",
            "WantedBy=multi-user.target graphical.target",
            "Alias=other-name.service",
            "WantedBy=nowhere.target",
            "Also=absent.service",
            "WantedBy=multi-user.target\nAlias=other-name.service",
        ]);
        self.install.push(wanted.to_owned());
        self.set_one("Restart", &["no", "always"]);
        self.delay(1);
        self.rest = self.pick(&[SLEEP, "sleep 0.4; exit 1"]).to_owned();
        self.set_unit("StartLimitBurst", "2");
        let early = ["enable", "enable", "enable --runtime", "is-enabled", "mask --runtime", "reenable"];
        self.at_one(-750, &early);
        let verbs = [
            "disable",
            "disable --now",
            "stop",
            "mask",
            "status",
            "is-enabled",
            "enable",
            "enable --force",
            "reenable",
            "unmask",
            "mask --runtime",
            "unmask --runtime",
            "disable --runtime",
            "is-enabled --full",
            "cat",
            "list-dependencies --plain",
        ];
        self.at_one(2000, &verbs);
        self.at_one(3000, &["start", "is-enabled", "restart", "enable --now", "show -p UnitFileState,Names,LoadState"]);
        self.at_one(4000, &["is-enabled", "status", "stop", "daemon-reload"]);
    }

    /// Two units that depend on each other.
    pub(super) fn pair(&mut self) {
        self.side_by_side = true;
        let other = "b.service";
        let relation = self.pick(&[
            "Requires",
            "Wants",
            "BindsTo",
            "PartOf",
            "Requisite",
            "Conflicts",
            "OnFailure",
            "OnSuccess",
            "Upholds",
            "PropagatesStopTo",
            "PropagatesReloadTo",
        ]);
        self.set_unit(relation, other);
        let order = self.pick(&["After", "After", "Before"]);
        self.set_unit(order, other);
        let ends = [SLEEP, SLEEP, "sleep 0.65; exit 0", "sleep 0.65; exit 3", "sleep 1.4; kill -KILL $$"];
        self.rest = self.pick(&ends).to_owned();
        if self.some(40) {
            self.set_one("Restart", &["always", "on-failure"]);
            self.set_one("RestartSec", &["450ms", "700ms"]);
            self.set_unit("StartLimitBurst", "2");
        }
        if self.some(30) {
            self.set("ExecReload", "/bin/true");
        }
        let kind = self.pick(&["simple", "exec", "oneshot"]);
        let end = match kind {
            "oneshot" => self.pick(&["exit 0", "exit 1", "sleep 0.65", "sleep 0.65; exit 2"]),
            _ => self.pick(&ends),
        };
        let mut text = "[Unit]\nDescription=B unit\n".to_owned();
        if self.some(20) {
            text += "StopWhenUnneeded=yes\n";
        }
        if self.some(20) {
            text += "RefuseManualStart=yes\n";
        }
        text += &format!("\n[Service]\nType={kind}\nExecStart=/bin/sh -c '{}'\n", end.replace("$$", "$$$$"));
        if kind == "oneshot" && self.some(50) {
            text += "RemainAfterExit=yes\n";
        }
        if kind != "oneshot" && self.some(30) {
            text += "Restart=on-failure\nRestartSec=450ms\nStartLimitBurst=2\n";
        }
        self.units.insert(other.to_owned(), text);
        let verbs = [
            "start",
            "stop",
            "stop",
            "restart",
            "try-restart",
            "reload-or-restart",
            "kill",
            "reset-failed",
            "is-active",
            "status",
        ];
        let mut at = 0;
        for _ in 0..2 + self.random.below(2) {
            at += self.random.choose(&[1250, 2000]);
            let verb = self.pick(&verbs);
            let unit = if self.some(50) { self.own.clone() } else { other.to_owned() };
            self.enter(at, format!("systemctl {verb} {unit}"));
        }
    }
}
