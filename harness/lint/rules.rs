//! The table of rules.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// It does something else than it seems to, or only sometimes works.
    Warning,
    /// systemd ignores or refuses it, or it cannot work.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// A kind of mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, in kebab case.
    pub id: &'static str,
    /// How much its findings matter; a finding may matter less than its rule.
    pub severity: Severity,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What is wrong with it, and what to do, in a few sentences.
    pub help: &'static str,
}

/// The rule with this name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $title:literal, $help:literal;)+) => {
        $(pub(super) static $name: Rule =
            Rule { id: $id, severity: Severity::$severity, title: $title, help: $help };)+
        /// All rules, by theme.
        pub static RULES: &[&Rule] = &[$(&$name),+];
    };
}

rules! {
    INLINE_COMMENT = "inline-comment", Error, "a comment behind a value",
        "A unit file has comments only on lines of their own. What stands behind a value belongs to it: `Restart=always # on crashes` is \
         no value of Restart=, so systemd warns, ignores the line, and the default (Restart=no) applies. In a path the comment becomes part of \
         the path, in an Exec line arguments of the command, in a list further entries. Put the comment on a line before.";
    WRONG_CASE = "wrong-case", Error, "a value in the wrong case",
        "The words that settings take are case sensitive: `Restart=Always` is ignored, and Restart=no applies.";
    QUOTED_VALUE = "quoted-value", Error, "a quoted value where quotes are not taken off",
        "Quotes group words only in lists such as Exec lines and Environment=. Elsewhere they belong to the value: `Restart=\"always\"` is ignored.";
    BAD_VALUE = "bad-value", Error, "a value that systemd ignores",
        "systemd cannot make anything of the value. It warns once, and goes on as if the line were not there.";
    MONTHS = "months", Warning, "M is months, not minutes",
        "In time spans `m` and `min` are minutes; `M` is months of 30.4375 days (systemd.time(7)).";
    UNKNOWN_KEY = "unknown-key", Error, "a key that systemd does not know",
        "systemd warns about keys it does not know and ignores them. They are case sensitive. Keys that begin with `X-` are ignored in silence, for \
         the use of other programs.";
    WRONG_SECTION = "wrong-section", Error, "a key in the wrong section",
        "Each key belongs to a section; in another one it is unknown, and ignored with a warning.";
    LIMIT_SECTION = "limit-in-wrong-section", Error, "a start limit in the wrong section",
        "Start limits belong into [Unit]. In [Service] the old names StartLimitInterval=, StartLimitBurst= and StartLimitAction= are still \
         accepted, but StartLimitIntervalSec= is not: it is ignored, and the default of 10 s applies, which a loop with RestartSec=2 or more never \
         reaches.";
    OLD_LIMIT = "limit-in-service-section", Note, "a start limit in its old place",
        "Before version 230 start limits were settings of [Service]. The old names are still accepted there; StartLimitIntervalSec= is not, so that a \
         limit that is half in one place and half in the other is easily written.";
    LATER_KEY = "key-from-later-version", Warning, "a key that this version of systemd does not know yet",
        "A later version of systemd knows the key. This one warns about it and ignores it. --profile says for which version a unit is.";
    UNKNOWN_SECTION = "unknown-section", Error, "a section that systemd does not know",
        "systemd warns about the section and ignores everything in it. Sections whose names begin with `X-` are ignored in silence.";
    NOT_AN_ASSIGNMENT = "not-an-assignment", Error, "a line that is no assignment",
        "A line that is no header, no comment and no KEY=VALUE is ignored with a warning. Often a backslash at the end of the line before is missing.";
    OUTSIDE_SECTION = "outside-section", Error, "an assignment before the first section",
        "Settings belong to sections; before the first header they are ignored.";
    REFUSED = "refused", Error, "systemd refuses the unit",
        "The unit cannot be loaded, so it cannot be started: systemctl says that it has a bad unit file setting. After a daemon-reload, a service that \
         runs goes on, but is not restarted any more.";
    SYSTEMD_WARNS = "systemd-warns", Warning, "something else that systemd warns about",
        "What systemd says when it reads the unit, and no other rule explains.";

    LIMIT_NEVER_BITES = "limit-never-bites", Warning, "a start limit that can never end a loop",
        "A start limit of N starts in I ends a loop only if N restarts fit into I: its cycle, which is RestartSec= and what the program takes until it \
         ends, has to be shorter than I divided by N. The default (5 starts in 10 s) ends no loop whose cycle is longer than 2 s, so RestartSec=2 or more turns it \
         off. A unit whose port is taken is then started for ever. Make the interval longer than N cycles, or say with StartLimitIntervalSec=0 that no limit \
         is wanted.";
    NO_LIMIT = "no-limit", Note, "no start limit",
        "StartLimitIntervalSec=0 or StartLimitBurst=0 turns the start limit off: a unit that keeps failing is started for ever.";
    PREVENT_MISSES = "prevent-misses-bind-error", Warning, "RestartPreventExitStatus= misses the code of a taken port",
        "The program ends with other codes, too, when its port is taken. uvicorn ends with 1 up to version 0.48 and with 3 from 0.50 on; a list that has one of \
         them works until the next upgrade.";
    BIND_ERROR_RESTARTS = "bind-error-restarts", Note, "a taken port is retried like a crash",
        "The program ends with a known exit code if its port is taken, and Restart= restarts it after that. As long as somebody else has the port, it is \
         started again and again, and everything that it does before it binds is done again each time. RestartPreventExitStatus= stops at once, but \
         does so for every failure with the same code; a socket unit keeps the port for the service and makes the conflict impossible.";
    SUCCESS_BIND_ERROR = "success-includes-bind-error", Warning, "a taken port counts as success",
        "SuccessExitStatus= has a code with which the program ends if its port is taken. The unit is then `inactive`, not `failed`, and no monitoring sees it.";
    EXIT_0_RESTARTED = "exit-0-restarted", Warning, "a clean exit is restarted",
        "Restart=always restarts a program that ends with 0, too. A duplicate that says \"already running\" and exits with 0 is then started for ever, and \
         nothing ever fails.";
    EXIT_0_NOT_RESTARTED = "exit-0-not-restarted", Warning, "a clean exit is not restarted",
        "With Restart=on-failure a program that ends with 0 is not started again, and the unit is `inactive (dead)` with Result=success: off, and nobody is told.";
    SWALLOWED = "failure-swallowed", Warning, "a shell that always ends with 0",
        "`… || true` and `…; exit 0` at the end of a script turn every failure into success, so that systemd sees none: Restart=on-failure restarts nothing, and \
         Restart=always restarts without an error in sight.";
    REMAIN = "remain-after-exit-and-restart", Warning, "RemainAfterExit= keeps Restart= from restarting",
        "With RemainAfterExit=yes a service whose program ends cleanly stays `active (exited)`. It has not ended, so Restart=always does not restart it, and \
         `systemctl is-active` says active while nothing runs.";
    NO_RESTART_SEC = "no-restart-sec", Note, "RestartSec= is not set",
        "The default is 100 ms. A program that fails at once has used up the default start limit of 5 starts in 10 s within two seconds, and stays `failed` after the \
         cause is gone; one that is slow to start never reaches it and keeps a processor busy.";
    RESTART_SEC_ZERO = "restart-sec-zero", Warning, "RestartSec=0",
        "The next start follows at once. A program that fails at once uses up its start limit in a moment, and a slow one never rests.";
    STEPS = "restart-steps-incomplete", Warning, "a growing delay that does not grow",
        "RestartSteps= and RestartMaxDelaySec= work only together (systemd 254 and later): the delay grows from RestartSec= to RestartMaxDelaySec= in RestartSteps= \
         steps. One without the other is ignored with a warning.";

    NO_NOTIFIER = "notify-without-notifier", Error, "Type=notify for a program that never says READY=1",
        "With Type=notify a start is complete when the program says READY=1 (sd_notify(3)). One that never does is killed after TimeoutStartSec=, although \
         it serves, and Restart= starts it again.";
    NOTIFY_CHILD = "notify-from-child", Warning, "READY=1 from a process that may not say so",
        "NotifyAccess=main, which Type=notify implies, takes messages from the main process only. Behind sudo, flock or a shell that stays, the program is a \
         child, and its READY=1 is ignored. Use `exec`, flock --no-fork, User= in place of sudo, or NotifyAccess=all.";
    NOTIFY_NONE = "notify-access-none", Note, "NotifyAccess=none with Type=notify",
        "systemd makes NotifyAccess=main of it, since a service that may not say that it is ready could never start.";
    FOREGROUND = "forking-without-fork", Error, "Type=forking for a program that stays in the foreground",
        "With Type=forking a start is complete when the first process has ended and left a daemon behind. A program that stays is killed after TimeoutStartSec=, although \
         it serves. Use Type=simple or Type=exec.";
    DAEMON = "daemon-in-the-background", Error, "a program that goes into the background",
        "With Type=simple, exec or notify the process that systemd starts is the service. If it forks and ends, the service has ended, and systemd kills what it has left \
         behind. Leave the option away, or use Type=forking.";

    SHELL_SYNTAX = "shell-syntax", Error, "shell syntax without a shell",
        "Exec lines are not read by a shell: `&&`, `|`, `>` and the like are arguments of the command. Use several lines, or /bin/sh -c '…'.";
    LOOP = "loop-in-exec-start", Warning, "a loop inside the unit",
        "A shell that starts the program again and again is all that systemd sees: it is active from the first start on, NRestarts= stays 0, and neither Restart= nor a \
         start limit nor RestartPreventExitStatus= has anything to say. Start the program itself, with Restart=.";
    PORT_CHECK = "start-pre-fails-on-busy-port", Warning, "a check of the port that fails the start",
        "An ExecStartPre= that fails while the port is taken fails the start, and Restart= tries again after RestartSec=: the loop goes on, only faster, since no program has to \
         start up any more; or it reaches the start limit, and the unit stays `failed` after the port is free. Wait for the port instead, with a bound below \
         TimeoutStartSec=, or let a socket unit have it.";
    PORT_CONDITION = "condition-looks-at-port", Warning, "a condition that looks at the port",
        "An ExecCondition= that fails skips the start. That is no failure, so no Restart= follows: the unit is `inactive`, and stays so when the port becomes free.";
    UNBOUNDED_WAIT = "start-pre-waits-too-long", Warning, "a wait that TimeoutStartSec= ends",
        "What ExecStartPre= takes counts for TimeoutStartSec= (90 s by default). A wait that may take longer is killed, and the start has failed with Result=timeout. Set \
         TimeoutStartSec=infinity if it may take as long as it likes.";
    BLIND_KILL = "kills-blindly", Warning, "a start that kills whoever has the port",
        "A command that kills whatever listens on the port, or looks like the service, kills it in the middle of what it does, whoever it is. And User= applies to \
         it, too: a process of another user it cannot kill. Stop the other one where it was started.";
    PKILL_SELF = "pkill-kills-own-shell", Error, "pkill -f that kills its own shell",
        "pkill -f compares whole command lines, and that of the shell that runs it contains the pattern. pkill spares itself, not its parent: the shell dies of the signal, \
         and what stands behind it is never run. Write the first letter of the pattern as a class, `[u]vicorn`, or stop the unit with systemctl.";
    PGREP_SELF = "pgrep-finds-own-shell", Error, "pgrep -f that finds its own shell",
        "pgrep -f compares whole command lines, and that of the shell that runs it contains the pattern: it always finds one, whether or not the program runs. Write the first letter \
         of the pattern as a class, `[u]vicorn`.";
    PKILL_SERVICE = "pkill-matches-service", Warning, "a pattern that matches the service itself",
        "The pattern matches the command line of this unit's own program, so in ExecStartPre= it kills whatever was started by hand with the same command, and in ExecStartPost= or \
         ExecReload= the service itself. systemd knows the processes of a unit: use systemctl stop, KillMode=, or $MAINPID.";
    KILL_MODE = "kill-mode-leaves-processes", Warning, "processes that are left behind",
        "With KillMode=process only the main process is stopped, with KillMode=none nobody. What is left over keeps the listening socket: the next start finds the port \
         taken, by the unit's own child, and a loop begins. KillMode=control-group (the default) or mixed stop all.";

    SOCKET_PORT = "port-of-socket-unit", Error, "a port that the unit's own socket has",
        "The socket unit of the same name listens on the port and hands it to the service. A service that binds the port itself finds it taken, at every start. Take the socket over \
         (uvicorn: --fd 3), or remove the socket unit.";
    TWO_UNITS = "two-units-for-one-port", Note, "two units for one port",
        "Two of the units that were named start a server on the same port. If both are enabled, one of them gets it, the other one loops, and who is who may change at each restart. Remove one, or say \
         Conflicts= if only one of them is to run at a time.";
    NO_INSTALL = "no-install", Note, "no [Install] section",
        "`systemctl enable` needs WantedBy= or the like in [Install]. Without it the unit is static: it starts only if something else asks for it, and not at boot.";
    UNKNOWN_RULE = "unknown-rule", Warning, "a comment that allows a rule that does not exist",
        "`# relapse: allow RULE` on the line before switches a rule off for one line; `# relapse: allow-file RULE`, anywhere, for a file. `relapse lint --list` has the names.";
}
