//! What stands in unit files: drop-ins, lines that are wrong, words and variables of commands.

use super::{Act, LOOP, Maker, RESTARTS, SLEEP};

/// Lines of `[Service]` that are not as they should be, or seldom seen.
const ODD_SERVICE: &[&str] = &[
    "RestartSec=soon",
    "Restart=sometimes",
    "Type=daemon",
    "TimeoutStopSec=",
    "TimeoutStopSec=soon",
    "TimeoutSec=2min 3",
    "KillMode=all",
    "KillSignal=SIGFOO",
    "KillSignal=99",
    "SuccessExitStatus=300 1",
    "SuccessExitStatus=WHAT",
    "RestartPreventExitStatus=nonsense 3",
    "RestartForceExitStatus=-1",
    "Nice=99",
    "ExecStartPre=relative/path",
    "ExecStartPre=\"/bin/true",
    "ExecStartPre=",
    "ExecStop=/bin/true \"",
    "FooBar=1",
    "X-Own=1",
    "just words",
    "=value",
    "Restart",
    "LimitNOFILE=many",
    "LimitNOFILE=2048",
    "Environment=A",
    "Environment=\"A=1",
    "Environment=A=1 \\\n  B=2",
    "WorkingDirectory=relative",
    "UMask=999",
    "StartLimitBurst=5",
    "StartLimitInterval=7s",
    "StartLimitIntervalSec=10",
    "RemainAfterExit=perhaps",
    "SendSIGKILL=2",
    "WatchdogSec=-1",
    "OOMPolicy=explode",
    "NotifyAccess=some",
    "StandardOutput=nowhere",
    "StandardOutput=null",
    "  RestartSec  =  850ms  ",
    "# a comment",
    "; another",
    "RestartSec=1min \\\n# between\n30s",
    "RuntimeMaxSec=infinity",
    "RuntimeMaxSec=1 fortnight",
    "TimeoutAbortSec=",
    "PIDFile=relative.pid",
    "Restart=no # not a comment",
    "SyslogIdentifier=",
    "KillMode=none",
    "ExecReload=/bin/kill -HUP $MAINPID # reload",
    "GuessMainPID=never",
    "RestartPreventExitStatus=1\nRestartPreventExitStatus=",
    "RestartSteps=3",
    "RestartMode=direct",
    "User=nobodyknows",
    "Group=nobodyknows",
    "ExecStartPost=-/nonexistent/program",
    "ExecStartPost=+/bin/true",
    "ExecStartPost=!!/bin/true",
    "ExecStartPost=@/bin/true other",
];

/// The same of `[Unit]`.
const ODD_UNIT: &[&str] = &[
    "After=no/such.service",
    "After=nowhere",
    "After=basic.target nowhere.service",
    "Requires=",
    "Wants=absent.service",
    "ConditionPathExists=relative",
    "ConditionFoo=1",
    "ConditionPathExists=",
    "StartLimitBurst=x",
    "StartLimitBurst=4",
    "StartLimitAction=explode",
    "StartLimitIntervalSec=5 parsecs",
    "Documentation=not a uri",
    "Documentation=man:sh(1) https://example.com/",
    "Description=Second \\\n   line",
    "Description=",
    "JobTimeoutSec=never",
    "RefuseManualStop=yes",
    "RefuseManualStart=maybe",
    "IgnoreOnIsolate=1",
    "CollectMode=all",
    "Restart=always",
    "OnFailure=absent.service",
    "DefaultDependencies=no",
];

const ODD_END: &[&str] = &[
    "",
    "",
    "",
    "\n[Bogus]\nKey=1\n",
    "\n[X-Own]\nKey=1\n",
    "\n[Install]\nWantedBy=\n",
    "\n[Install]\nWantedBy=multi-user.target\nAlias=wrong\n",
    "\n[Service]\nRestart=no\n",
    "\n[Unit\nDescription=cut off\n",
    "\n[service]\nRestart=always\n",
    "Restart=always",
];

impl Maker {
    /// Lines that are wrong, unknown or odd.
    pub(super) fn lines(&mut self) {
        for _ in 0..1 + self.random.below(3) {
            let line = self.pick(ODD_SERVICE);
            self.service.push(line.to_owned());
        }
        for _ in 0..self.random.below(3) {
            let line = self.pick(ODD_UNIT);
            self.unit.push(line.to_owned());
        }
        self.more = self.pick(ODD_END).to_owned();
        self.rest = self.pick(&[SLEEP, SLEEP, "sleep 0.4; exit 1"]).to_owned();
        self.at_one(
            1000,
            &["status", "show -p Restart,RestartUSec,LoadState,LoadError", "is-enabled", "is-active", "cat"],
        );
        // What is stopped may or may not be loaded once more by who asks whether its files have changed: it is not.
        self.at_one(2000, &["restart", "start", "enable", "daemon-reload", "kill"]);
    }

    /// Drop-ins from the beginning, and one that comes, changes or goes.
    pub(super) fn dropins(&mut self) {
        self.set_one("Restart", RESTARTS);
        self.delay(1);
        self.set_unit("StartLimitBurst", "3");
        self.rest = self.pick(&[SLEEP, LOOP, "sleep 0.4; exit 1"]).to_owned();
        let pieces = [
            "[Service]\nRestart=on-failure\n",
            "[Service]\nRestart=\n",
            "[Service]\nRestartSec=950ms\n",
            "[Service]\nExecStart=\nExecStart=/bin/sh @DIR@/prog.sh two\n",
            "[Service]\nExecStart=/bin/true\n",
            "[Service]\nExecStartPre=/bin/true\n",
            "[Service]\nExecStopPost=/bin/sh -c 'exit 9'\n",
            "[Unit]\nDescription=Dropped in\n",
            "[Unit]\nStartLimitBurst=2\n",
            "[Service]\nSuccessExitStatus=1\n",
            "[Service]\nEnvironment=EXTRA=1\nSuccessExitStatus=1 3\nSuccessExitStatus=\n",
            "[Service]\nRestart=often\n",
            "# nothing\n",
            "",
            "[Service]\nTimeoutStopSec=600ms\nKillMode=mixed\n",
        ];
        let names = ["10-a.conf", "20-b.conf", "05-c.conf", "z.conf", "ignored.txt"];
        for _ in 0..self.random.below(3) {
            let (name, text) = (self.pick(&names), self.pick(&pieces));
            self.dropins.insert(name.to_owned(), text.to_owned());
        }
        let (name, text) = (self.pick(&names), self.pick(&pieces));
        let file = format!("{}.d/{name}", self.own);
        if self.some(25) {
            self.enter(1500, format!("rm -f /etc/systemd/system/{file}"));
        } else {
            self.actions.push((1500, Act::Write { write: file, text: text.to_owned() }));
        }
        // Whether it is gone before somebody asks whether its files have changed is a toss: it is not stopped.
        self.at_one(2250, &["status", "show -p NeedDaemonReload,Restart", "restart", "is-active"]);
        if self.some(75) {
            self.at(3250, "daemon-reload");
            self.at_one(4250, &["restart", "show -p NeedDaemonReload,Restart,RestartUSec,Description", "start", "cat"]);
        }
    }

    /// How a command line becomes arguments.
    pub(super) fn words(&mut self) {
        let words = [
            "plain",
            "\"a b\"",
            "'c d'",
            "$WORD",
            "${WORD}",
            "\"$WORD\"",
            "'${WORD}'",
            "$$",
            "$$WORD",
            "%%",
            "%n",
            "%N",
            "%p",
            "%i",
            "%H",
            "%t",
            "\\x41",
            "\\t",
            "\\101",
            "\"x\\\"y\"",
            "a;b",
            "\\;",
            "$NONE",
            "${NONE}",
            "pre$WORD",
            "pre${WORD}post",
            "-x",
            "\"\"",
            "''",
            "$EMPTY",
            "${EMPTY}",
            "a\\ b",
            "\"it's\"",
            "$WORD/x",
            "*",
            "~",
            "`id`",
            "|",
            ">",
            "&&",
            "$1",
            "${1}",
            "\\u00e4",
            "ä",
            "\"tab\\there\"",
            "$QUOTED",
            "${QUOTED}",
        ];
        let mut line = "/bin/sh @DIR@/args.sh".to_owned();
        for _ in 0..1 + self.random.below(6) {
            line += " ";
            line += self.pick(&words);
        }
        if self.some(15) {
            line += " \\\n    continued";
        }
        self.set("Environment", "\"WORD=one two\" EMPTY=");
        let assignment = self.pick(&[
            "QUOTED='it is' X=%n",
            "\"QUOTED=\\\"inner\\\" $WORD\"",
            "QUOTED=a\\tb",
            "'QUOTED=%% done'",
            "QUOTED=$WORD",
            "QUOTED",
            "1QUOTED=no QUOTED=yes",
        ]);
        self.set("Environment", assignment);
        if self.some(30) {
            self.programs
                .insert("env".to_owned(), "# file\nWORD=from file\nOTHER=\"quoted value\"\n; x\nbad line\n".to_owned());
            self.set_one("EnvironmentFile", &["@DIR@/env", "-@DIR@/env", "-/nonexistent", "/nonexistent"]);
        }
        if self.some(15) {
            self.set_one("UnsetEnvironment", &["WORD", "QUOTED EMPTY", "OTHER=x"]);
        }
        let prefix = self.pick(&["", "", "", "-", ":", "@"]);
        if prefix == "@" {
            line = line.replacen("/bin/sh", "/bin/sh sh", 1);
        }
        self.set("ExecStart", &format!("{prefix}{line}"));
        let script = "#!/bin/sh\n{ for a; do printf '[%s]\\n' \"$a\"; done; echo \"QUOTED=$QUOTED\"; } > \"$DIR\"/args\nexec sleep 100\n";
        self.programs.insert("args.sh".to_owned(), script.to_owned());
        self.enter(1000, "cat @DIR@/args".to_owned());
        self.at(1500, "show -p ExecStart,Environment,EnvironmentFiles,UnsetEnvironment");
    }
}
