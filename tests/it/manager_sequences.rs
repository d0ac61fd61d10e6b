//! What the journal of a unit says, line by line, as real systemd 252 said it in the same situations.

use crate::manager::Rig;

/// Name, the [Service] settings, what happens, and what the journal says of it without the unit's name.
///
/// What happens: systemctl verbs for the unit, and spans of time that pass.
struct Row {
    name: &'static str,
    settings: &'static str,
    steps: &'static str,
    journal: &'static [&'static str],
}

const STARTED: &str = "<6> Started U.";
const STARTING: &str = "<6> Starting U...";
const STOPPING: &str = "<6> Stopping U...";
const STOPPED: &str = "<6> Stopped U.";
const FAILED_TO_START: &str = "<3> Failed to start U.";
const DEACTIVATED: &str = "<6> U: Deactivated successfully.";
const KILLED: &str = "<4> U: Main process exited, code=killed, status=9/KILL";

/// A main process and a child of it that ignore these signals.
macro_rules! family {
    ($main:literal, $child:literal) => {
        concat!(
            "ExecStart=/bin/sh -c '(trap \"",
            $child,
            "\" TERM; while :; do sleep 100 & wait $!; done) & trap \"",
            $main,
            "\" TERM; serve'\n"
        )
    };
}

const ROWS: &[Row] = &[
    Row {
        name: "a missing program of a simple service fails after the start was a success",
        settings: "ExecStart=/nonexistent/x a b\n",
        steps: "start",
        journal: &[
            STARTED,
            "<6> U: Failed to locate executable /nonexistent/x: No such file or directory",
            "<3> U: Failed at step EXEC spawning /nonexistent/x: No such file or directory",
            "<5> U: Main process exited, code=exited, status=203/EXEC",
            "<4> U: Failed with result 'exit-code'.",
        ],
    },
    Row {
        name: "a missing program of an exec service fails the start",
        settings: "Type=exec\nExecStart=/nonexistent/x a b\n",
        steps: "start",
        journal: &[
            STARTING,
            "<6> U: Failed to locate executable /nonexistent/x: No such file or directory",
            "<3> U: Failed at step EXEC spawning /nonexistent/x: No such file or directory",
            "<5> U: Main process exited, code=exited, status=203/EXEC",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a oneshot is deactivated before it is finished",
        settings: "Type=oneshot\nExecStart=-/bin/false\nExecStart=/bin/true\n",
        steps: "start",
        journal: &[STARTING, DEACTIVATED, "<6> Finished U."],
    },
    Row {
        name: "a oneshot that remains is deactivated by the stop alone",
        settings: "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
        steps: "start stop",
        journal: &[STARTING, "<6> Finished U.", DEACTIVATED, STOPPED],
    },
    Row {
        name: "the first failing command of a oneshot ends it",
        settings: "Type=oneshot\nExecStart=/bin/false\nExecStart=/bin/true\n",
        steps: "start",
        journal: &[
            STARTING,
            "<5> U: Main process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a main process that dies while ExecStartPost= runs fails the start after it",
        settings: "ExecStart=/bin/sh -c 'exit 7'\nExecStartPost=/bin/sleep 0.1\n",
        steps: "start 1s",
        journal: &[
            STARTING,
            "<5> U: Main process exited, code=exited, status=7/NOTRUNNING",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a failing ExecStartPost= takes the main process down",
        settings: "ExecStart=/bin/sleep 1000\nExecStartPost=/bin/false\n",
        steps: "start",
        journal: &[
            STARTING,
            "<5> U: Control process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "an unmet ExecCondition= is no failure",
        settings: "ExecCondition=/bin/false\nExecStart=/bin/sleep 1000\nRestart=always\n",
        steps: "start 5s",
        journal: &[
            STARTING,
            "<6> U: Skipped due to 'exec-condition'.",
            "<6> Condition check resulted in U being skipped.",
        ],
    },
    Row {
        name: "an ExecCondition= that exits with 255 is one",
        settings: "ExecCondition=/bin/sh -c 'exit 255'\nExecStart=/bin/sleep 1000\n",
        steps: "start",
        journal: &[
            STARTING,
            "<5> U: Condition check process exited, code=exited, status=255/EXCEPTION",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a failing ExecStop= fails the unit but not the stop",
        settings: "ExecStart=/bin/sleep 1000\nExecStop=/bin/false\n",
        steps: "start stop",
        journal: &[
            STARTED,
            STOPPING,
            "<5> U: Control process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            STOPPED,
        ],
    },
    Row {
        name: "a forking service that leaves a daemon",
        settings: "Type=forking\nExecStart=/bin/sh -c 'sleep 1000 & exit 0'\n",
        steps: "start 1s stop",
        journal: &[STARTING, STARTED, STOPPING, DEACTIVATED, STOPPED],
    },
    Row {
        name: "a forking service that fails",
        settings: "Type=forking\nExecStart=/bin/sh -c 'exit 5'\n",
        steps: "start",
        journal: &[
            STARTING,
            "<5> U: Control process exited, code=exited, status=5/NOTINSTALLED",
            "<4> U: Failed with result 'exit-code'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a PID file that never comes",
        settings: "Type=forking\nPIDFile=/run/nope.pid\nTimeoutStartSec=300ms\nExecStart=/bin/sh -c 'sleep 1000 & exit 0'\n",
        steps: "start 2s",
        journal: &[
            STARTING,
            "<6> U: Can't open PID file /run/nope.pid (yet?) after start: No such file or directory",
            "<4> U: start operation timed out. Terminating.",
            "<4> U: Failed with result 'timeout'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a PID file that the daemon writes",
        settings: "Type=forking\nPIDFile=/run/d.pid\nExecStart=/bin/sh -c 'sleep 1000 & pidfile /run/d.pid; exit 0'\n",
        steps: "start 1s stop",
        journal: &[STARTING, STARTED, STOPPING, DEACTIVATED, STOPPED],
    },
    Row {
        name: "a PID file that comes late",
        settings: "Type=forking\nPIDFile=/run/d.pid\nExecStart=/bin/sh -c '(sleep 0.5; ownpid /run/d.pid; serve) & exit 0'\n",
        steps: "start 1s stop",
        journal: &[
            STARTING,
            "<6> U: Can't open PID file /run/d.pid (yet?) after start: No such file or directory",
            STARTED,
            STOPPING,
            DEACTIVATED,
            STOPPED,
        ],
    },
    Row {
        name: "a daemon that dies before it writes its PID file",
        settings: "Type=forking\nPIDFile=/run/d.pid\nExecStart=/bin/sh -c 'sleep 0.5 & exit 0'\n",
        steps: "start 2min",
        journal: &[
            STARTING,
            "<6> U: Can't open PID file /run/d.pid (yet?) after start: No such file or directory",
            "<4> U: start operation timed out. Terminating.",
            "<4> U: Failed with result 'timeout'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a PID file that nobody is left to write",
        settings: "Type=forking\nPIDFile=/run/d.pid\nExecStart=/bin/sh -c 'exit 0'\n",
        steps: "start",
        journal: &[
            STARTING,
            "<6> U: Can't open PID file /run/d.pid (yet?) after start: No such file or directory",
            "<4> U: Failed with result 'protocol'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a oneshot whose command ends well at the stop goes on with the next one",
        settings: "Type=oneshot\nExecStart=/bin/sh -c 'trap \"exit 0\" TERM; serve'\nExecStart=/bin/sleep 3\n",
        steps: "start 500ms stop 4s",
        journal: &[STARTING, DEACTIVATED, STOPPED],
    },
    Row {
        name: "no READY=1 in time",
        settings: "Type=notify\nTimeoutStartSec=300ms\nExecStart=/bin/sleep 1000\n",
        steps: "start 1s",
        journal: &[
            STARTING,
            "<4> U: start operation timed out. Terminating.",
            "<4> U: Failed with result 'timeout'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "READY=1, a reload and a stop that the service announces",
        settings: "Type=notify\nExecStart=/bin/sh -c 'sleep 0.2; notify READY=1 STATUS=Hello; sleep 1; notify RELOADING=1; sleep 1; notify READY=1; sleep 1; notify STOPPING=1; sleep 1; exit 0'\n",
        steps: "start 10s",
        journal: &[STARTING, STARTED, DEACTIVATED],
    },
    Row {
        name: "a notify service that ends without READY=1",
        settings: "Type=notify\nExecStart=/bin/true\n",
        steps: "start",
        journal: &[STARTING, "<4> U: Failed with result 'protocol'.", FAILED_TO_START],
    },
    Row {
        name: "a word from somebody who may not speak",
        settings: "ExecStart=/bin/sh -c 'notify READY=1; sleep 1000'\n",
        steps: "start 1s",
        journal: &[STARTED, "<4> U: Got notification message from PID PID, but reception is disabled"],
    },
    Row {
        name: "a watchdog that is not fed",
        settings: "WatchdogSec=300ms\nExecStart=/bin/sleep 1000\n",
        steps: "start 1s",
        journal: &[
            STARTED,
            "<3> U: Watchdog timeout (limit 300ms)!",
            "<5> U: Killing process PID (sleep) with signal SIGABRT.",
            "<4> U: Main process exited, code=killed, status=6/ABRT",
            "<4> U: Failed with result 'watchdog'.",
        ],
    },
    Row {
        name: "a watchdog that is fed",
        settings: "WatchdogSec=300ms\nExecStart=/bin/sh -c 'sleep 0.2; notify WATCHDOG=1; sleep 0.2; notify WATCHDOG=1; sleep 0.2; exit 0'\n",
        steps: "start 2s",
        journal: &[STARTED, DEACTIVATED],
    },
    Row {
        name: "a service that asks for its own watchdog",
        settings: "NotifyAccess=all\nExecStart=/bin/sh -c 'notify STATUS=lost WATCHDOG=trigger; sleep 1000'\n",
        steps: "start 1s",
        journal: &[
            STARTED,
            "<3> U: Watchdog request (last status: lost)!",
            "<5> U: Killing process PID (sh) with signal SIGABRT.",
            "<5> U: Killing process PID (sleep) with signal SIGABRT.",
            "<4> U: Main process exited, code=killed, status=6/ABRT",
            "<4> U: Failed with result 'watchdog'.",
        ],
    },
    Row {
        name: "RuntimeMaxSec= is over",
        settings: "RuntimeMaxSec=300ms\nExecStart=/bin/sleep 1000\n",
        steps: "start 1s",
        journal: &[
            STARTED,
            "<4> U: Service reached runtime time limit. Stopping.",
            "<4> U: Failed with result 'timeout'.",
        ],
    },
    Row {
        name: "EXTEND_TIMEOUT_USEC= gives a start more time",
        settings: "Type=notify\nTimeoutStartSec=1\nExecStart=/bin/sh -c 'sleep 0.5; notify EXTEND_TIMEOUT_USEC=3000000; sleep 2; notify READY=1; serve'\n",
        steps: "start 5s",
        journal: &[STARTING, STARTED],
    },
    Row {
        name: "a oneshot that takes too long dies of a signal that is not clean",
        settings: "Type=oneshot\nTimeoutStartSec=300ms\nExecStart=/bin/sleep 1000\n",
        steps: "start 1s",
        journal: &[
            STARTING,
            "<4> U: start operation timed out. Terminating.",
            "<4> U: Main process exited, code=killed, status=15/TERM",
            "<4> U: Failed with result 'timeout'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a start timeout that aborts",
        settings: "Type=notify\nTimeoutStartSec=300ms\nTimeoutStartFailureMode=abort\nExecStart=/bin/sleep 1000\n",
        steps: "start 1s",
        journal: &[
            STARTING,
            "<4> U: start operation timed out. Aborting.",
            "<5> U: Killing process PID (sleep) with signal SIGABRT.",
            "<4> U: Main process exited, code=killed, status=6/ABRT",
            "<4> U: Failed with result 'timeout'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "an idle service waits for nobody when it is alone",
        settings: "Type=idle\nExecStart=/bin/sleep 1000\n",
        steps: "start stop",
        journal: &[STARTED, STOPPING, DEACTIVATED, STOPPED],
    },
    Row {
        name: "a reload, and one of a service that is down",
        settings: "ExecStart=/bin/sleep 1000\nExecReload=/bin/true\nExecReload=/bin/sleep 0.1\n",
        steps: "start reload 1s stop reload",
        journal: &[
            STARTED,
            "<6> Reloading U...",
            "<6> Reloaded U.",
            STOPPING,
            DEACTIVATED,
            STOPPED,
            "<4> U: Unit cannot be reloaded because it is inactive.",
        ],
    },
    Row {
        name: "a reload that fails leaves the service running",
        settings: "ExecStart=/bin/sleep 1000\nExecReload=/bin/false\n",
        steps: "start reload",
        journal: &[
            STARTED,
            "<6> Reloading U...",
            "<5> U: Control process exited, code=exited, status=1/FAILURE",
            "<3> Reload failed for U.",
        ],
    },
    Row {
        name: "a reload that takes too long is killed",
        settings: "ExecStart=/bin/sleep 1000\nTimeoutStartSec=1\nExecReload=/bin/sleep 100\n",
        steps: "start reload 2s",
        journal: &[
            STARTED,
            "<6> Reloading U...",
            "<4> U: Reload operation timed out. Killing reload process.",
            "<3> Reload failed for U.",
        ],
    },
    Row {
        name: "a stop during ExecStartPre=",
        settings: "ExecStartPre=/bin/sleep 5\nExecStart=/bin/sleep 1000\n",
        steps: "start 400ms stop",
        journal: &[
            STARTING,
            "<4> U: Control process exited, code=killed, status=15/TERM",
            "<4> U: Failed with result 'signal'.",
            STOPPED,
        ],
    },
    Row {
        name: "main and child obey",
        settings: family!("exit 0", "exit 0"),
        steps: "start 300ms stop",
        journal: &[STARTED, STOPPING, DEACTIVATED, STOPPED],
    },
    Row {
        name: "main and child do not obey",
        settings: concat!(family!("", ""), "TimeoutStopSec=600ms\n"),
        steps: "start 300ms stop 2s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-sigterm' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            "<5> U: Killing process PID (sleep) with signal SIGKILL.",
            KILLED,
            "<4> U: Failed with result 'timeout'.",
            STOPPED,
        ],
    },
    Row {
        name: "the child alone does not obey",
        settings: concat!(family!("exit 0", ""), "TimeoutStopSec=600ms\n"),
        steps: "start 300ms stop 2s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'final-sigterm' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            "<5> U: Killing process PID (sleep) with signal SIGKILL.",
            "<4> U: Failed with result 'timeout'.",
            STOPPED,
        ],
    },
    Row {
        name: "KillMode=mixed kills the children once the main process is gone",
        settings: "KillMode=mixed\nExecStart=/bin/sh -c 'sleep 1000 & serve'\n",
        steps: "start 300ms stop",
        journal: &[STARTED, STOPPING, "<5> U: Killing process PID (sleep) with signal SIGKILL.", DEACTIVATED, STOPPED],
    },
    Row {
        name: "KillMode=process leaves the children, and the next start names them",
        settings: "KillMode=process\nExecStart=/bin/sh -c 'sleep 1000 & serve'\n",
        steps: "start 300ms stop start",
        journal: &[
            STARTED,
            STOPPING,
            DEACTIVATED,
            "<6> U: Unit process PID (sleep) remains running after unit stopped.",
            STOPPED,
            "<4> U: Found left-over process PID (sleep) in control group while starting unit. Ignoring.",
            "<4> This usually indicates unclean termination of a previous run, or service implementation deficiencies.",
            STARTED,
        ],
    },
    Row {
        name: "SendSIGKILL=no leaves everything, and refuses the next start",
        settings: concat!(family!("", ""), "SendSIGKILL=no\nTimeoutStopSec=200ms\n"),
        steps: "start 300ms stop 2s start 2s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-sigterm' timed out. Skipping SIGKILL.",
            "<4> U: State 'final-sigterm' timed out. Skipping SIGKILL. Entering failed mode.",
            "<4> U: Failed with result 'timeout'.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            "<6> U: Unit process PID (sleep) remains running after unit stopped.",
            STOPPED,
            "<4> U: Found left-over process PID (sh) in control group while starting unit. Ignoring.",
            "<4> This usually indicates unclean termination of a previous run, or service implementation deficiencies.",
            "<4> U: Found left-over process PID (sh) in control group while starting unit. Ignoring.",
            "<4> This usually indicates unclean termination of a previous run, or service implementation deficiencies.",
            "<4> U: Found left-over process PID (sleep) in control group while starting unit. Ignoring.",
            "<4> This usually indicates unclean termination of a previous run, or service implementation deficiencies.",
            "<3> U: Will not start SendSIGKILL=no service of type KillMode=control-group or mixed while processes exist",
            "<4> U: Failed to run 'start' task: Device or resource busy",
            STARTING,
            "<4> U: State 'stop-sigterm' timed out. Skipping SIGKILL.",
            "<4> U: State 'final-sigterm' timed out. Skipping SIGKILL. Entering failed mode.",
            "<4> U: Failed with result 'resources'.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            "<6> U: Unit process PID (sleep) remains running after unit stopped.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a FinalKillSignal= that is survived",
        settings: "FinalKillSignal=SIGQUIT\nTimeoutStopSec=500ms\nExecStart=/bin/sh -c 'trap \"\" TERM; trap \"\" QUIT; serve'\n",
        steps: "start 300ms stop 5s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-sigterm' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGQUIT.",
            "<4> U: Processes still around after SIGKILL. Ignoring.",
            "<4> U: State 'final-sigterm' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGQUIT.",
            "<4> U: Processes still around after final SIGKILL. Entering failed mode.",
            "<4> U: Failed with result 'timeout'.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            STOPPED,
        ],
    },
    Row {
        name: "TimeoutStopFailureMode=abort",
        settings: "TimeoutStopFailureMode=abort\nTimeoutAbortSec=300ms\nTimeoutStopSec=600ms\nExecStart=/bin/sh -c 'trap \"\" TERM; trap \"\" ABRT; serve'\n",
        steps: "start 300ms stop 3s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-sigterm' timed out. Aborting.",
            "<5> U: Killing process PID (sh) with signal SIGABRT.",
            "<4> U: State 'stop-watchdog' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            KILLED,
            "<4> U: Failed with result 'timeout'.",
            STOPPED,
        ],
    },
    Row {
        name: "an ExecStopPost= that takes too long, in abort mode",
        settings: "ExecStart=/bin/sleep 1000\nExecStopPost=/bin/sh -c 'trap \"\" TERM; trap \"\" ABRT; serve'\nTimeoutStopSec=300ms\nTimeoutAbortSec=500ms\nTimeoutStopFailureMode=abort\n",
        steps: "start stop 3s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-post' timed out. Aborting.",
            "<5> U: Killing process PID (sh) with signal SIGABRT.",
            "<4> U: State 'final-watchdog' timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            "<4> U: Control process exited, code=killed, status=9/KILL",
            "<4> U: Failed with result 'timeout'.",
            STOPPED,
        ],
    },
    Row {
        name: "an ExecStopPost= that takes too long, in kill mode without SIGKILL",
        settings: "ExecStart=/bin/sleep 1000\nExecStopPost=/bin/sh -c 'trap \"\" TERM; serve'\nTimeoutStopSec=300ms\nTimeoutStopFailureMode=kill\nSendSIGKILL=no\n",
        steps: "start stop 3s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: State 'stop-post' timed out. Skipping SIGKILL. Entering failed mode.",
            "<4> U: Failed with result 'timeout'.",
            "<6> U: Unit process PID (sh) remains running after unit stopped.",
            STOPPED,
        ],
    },
    Row {
        name: "an ExecStop= that takes too long, in kill mode",
        settings: "ExecStart=/bin/sh -c 'trap \"\" TERM; serve'\nExecStop=/bin/sleep 100\nTimeoutStopSec=300ms\nTimeoutStopFailureMode=kill\n",
        steps: "start stop 3s",
        journal: &[
            STARTED,
            STOPPING,
            "<4> U: Stopping timed out. Killing.",
            "<5> U: Killing process PID (sh) with signal SIGKILL.",
            "<5> U: Killing process PID (sleep) with signal SIGKILL.",
            KILLED,
            "<4> U: Control process exited, code=killed, status=9/KILL",
            "<4> U: Failed with result 'timeout'.",
            STOPPED,
        ],
    },
    Row {
        name: "an environment file that is missing keeps the program from running",
        settings: "EnvironmentFile=/no/such/env\nExecStart=/bin/sleep 1000\n",
        steps: "start",
        journal: &[
            "<3> U: Failed to load environment files: No such file or directory",
            "<4> U: Failed to run 'start' task: No such file or directory",
            "<4> U: Failed with result 'resources'.",
            FAILED_TO_START,
        ],
    },
    Row {
        name: "a restart says that it stops, and what stopped was a restart",
        settings: "ExecStart=/bin/sleep 1000\n",
        steps: "start restart",
        journal: &[STARTED, STOPPING, DEACTIVATED, STOPPED, STARTED],
    },
    Row {
        name: "a stop while it waits for a restart",
        settings: "ExecStart=/bin/false\nRestart=always\nRestartSec=10\n",
        steps: "start 1s stop 30s",
        journal: &[
            STARTED,
            "<5> U: Main process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            STOPPED,
        ],
    },
    Row {
        name: "a restart while it waits for one",
        settings: "ExecStart=/bin/false\nRestart=always\nRestartSec=10\n",
        steps: "start 1s restart",
        journal: &[
            STARTED,
            "<5> U: Main process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
            STOPPED,
            STARTED,
            "<5> U: Main process exited, code=exited, status=1/FAILURE",
            "<4> U: Failed with result 'exit-code'.",
        ],
    },
];

#[test]
fn the_journal_says_what_systemd_says() {
    let mut failures = Vec::new();
    for row in ROWS {
        let unit = format!("[Service]\n{}", row.settings);
        let mut rig = Rig::new(&[("u.service", &unit)]);
        for step in row.steps.split(' ') {
            match step {
                "start" => _ = rig.start("u.service"),
                "stop" => _ = rig.stop("u.service"),
                "restart" => _ = rig.restart("u.service"),
                "reload" => _ = rig.job(relapse::manager::JobVerb::Reload, "u.service"),
                span => rig.run(span),
            }
        }
        let got: Vec<String> = rig.journal("u.service").iter().map(|line| line.replace("u.service", "U")).collect();
        if got != row.journal {
            failures.push(format!("{}:\n  {}\nnot\n  {}", row.name, got.join("\n  "), row.journal.join("\n  ")));
        }
    }
    crate::unit::report(&failures, ROWS.len());
}
