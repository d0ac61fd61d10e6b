//! `relapse diagnose` on a machine with a real systemd, where there is one (`tests/it/container.rs`): every variant of the
//! incident at once, each with a port of its own.

use std::fs;

use relapse::run::{Container, ContainerSetup};
use serde_json::Value;

use crate::container::available;

/// A server in a language that every Debian has. `--deaf` ignores SIGTERM, `--child` leaves one behind, `--share` sets
/// SO_REUSEPORT, `--quiet` ends with 0 if the port is taken.
const SERVER: &str = r#"
use Socket;
my %o = (host => '0.0.0.0', port => 0);
while (defined(my $word = shift)) {
    if ($word =~ /^--(host|port)$/) { $o{$1} = shift } elsif ($word =~ /^--(\w+)$/) { $o{$1} = 1 }
}
$SIG{TERM} = 'IGNORE' if $o{deaf};
select(undef, undef, undef, 0.1);
socket(my $socket, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($socket, SOL_SOCKET, 15, 1) if $o{share};
unless (bind($socket, sockaddr_in($o{port}, inet_aton($o{host})))) {
    print STDERR "ERROR:    [Errno 98] error while attempting to bind on address ('$o{host}', $o{port}): address already in use\n";
    exit 1;
}
listen($socket, 16) or die;
if ($o{child}) { fork }
while (1) { accept(my $client, $socket) and close $client }
"#;

/// A unit that is restarted every 0.3 s or so.
fn unit(command: &str, more: &str) -> String {
    format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={command}\nRestart=always\nRestartSec=200ms\n{more}")
}

fn server(arguments: &str) -> String {
    format!("/usr/bin/perl /srv/server.pl {arguments}")
}

/// Somebody who has logged in, and types.
fn by_hand(session: u32, arguments: &str) -> String {
    format!(
        "systemd-run -q --scope --uid=app --slice=user-1000.slice --unit=session-{session}.scope {} >/dev/null 2>&1 &\n",
        server(arguments)
    )
}

struct Bed {
    machine: Container,
}

impl Bed {
    /// Boots the machine; `None`, and why, where there is none.
    fn new() -> Option<Bed> {
        if !available() {
            return None;
        }
        let setup = ContainerSetup {
            users: vec!["app".to_owned()],
            ..ContainerSetup::new(env!("CARGO_BIN_EXE_relapse").into())
        };
        let machine = Container::boot(&setup).expect("it was there a moment ago");
        let mut bed = Bed { machine };
        bed.write("/srv/server.pl", SERVER);
        if bed.shell("perl -MSocket -e 1").0 != 0 {
            eprintln!("skipped: there is no perl on this machine");
            return None;
        }
        Some(bed)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.machine.below(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{name}"), text);
    }

    fn shell(&mut self, line: &str) -> (u8, String) {
        self.machine.run(&["/bin/sh", "-c", line]).expect("an answer")
    }

    /// Until a command succeeds; it is the machine that waits.
    fn until(&mut self, condition: &str) {
        let line = format!("for i in $(seq 600); do if {condition}; then exit 0; fi; sleep 0.05; done; exit 1");
        let (code, said) = self.shell(&line);
        assert_eq!(code, 0, "never: {condition}: {said}");
    }

    fn listens(&mut self, port: u16) {
        self.until(&format!("ss -Hltn 'sport = :{port}' | grep -q LISTEN"));
    }

    fn restarts(&mut self, unit: &str) {
        self.until(&format!("test $(systemctl show -P NRestarts {unit}) -ge 3"));
    }

    fn diagnose(&mut self, arguments: &str) -> (u8, Value) {
        let (code, text) = self.shell(&format!("/relapse/bin/relapse diagnose --format json {arguments}"));
        (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// The only finding about a unit.
    fn finding(&mut self, unit: &str) -> Value {
        let (code, said) = self.diagnose(unit);
        assert_eq!((code, said["verdict"].as_str()), (1, Some("problem")), "{unit}: {said:#}");
        let findings = said["findings"].as_array().expect("findings");
        assert_eq!(findings.len(), 1, "{unit}: {said:#}");
        findings[0].clone()
    }
}

fn commands(finding: &Value) -> Vec<String> {
    let ways = finding["ways"].as_array().expect("ways");
    let commands = ways.iter().flat_map(|way| way["commands"].as_array().expect("commands"));
    commands.map(|command| command.as_str().expect("text").to_owned()).collect()
}

#[test]
fn during_the_incident_it_names_the_manual_process_the_unit_and_the_way_out_and_after_it_says_healthy() {
    let Some(mut bed) = Bed::new() else { return };
    bed.unit("app.service", &unit(&server("--host 0.0.0.0 --port 8000"), "User=app\n"));
    bed.shell(&by_hand(7, "--host 0.0.0.0 --port 8000"));
    bed.listens(8000);
    bed.shell("systemctl start app");
    bed.restarts("app");
    let manual = bed.shell("ss -Hltnp 'sport = :8000' | sed 's/.*pid=//; s/,.*//'").1.trim().to_owned();

    for arguments in ["", "app", "--port 8000", "app.service --port 8000"] {
        let (code, said) = bed.diagnose(arguments);
        assert_eq!(code, 1, "{said:#}");
        let finding = &said["findings"][0];
        assert_eq!(finding["cause"], "manual-process", "{said:#}");
        assert_eq!((&finding["unit"], &finding["port"]), (&"app.service".into(), &8000.into()));
        assert_eq!(finding["certain"], true);
        assert_eq!(finding["ends_by_itself"], false);
        let process = &finding["holders"][0]["processes"][0];
        assert_eq!(process["pid"].to_string(), manual);
        assert_eq!(process["argv"][3], "0.0.0.0");
        assert_eq!(process["user"], "app");
        assert_eq!(process["place"], "in a login session (session-7.scope of user 1000)");
        assert_eq!(commands(finding)[0], format!("kill {manual}"));
        let pages = finding["pages"].as_array().expect("pages");
        assert_eq!(pages[0], "scenarios/the-loop.md");
        assert!(finding["period_us"]["median"].as_u64().is_some_and(|us| us > 200_000), "{finding:#}");
    }
    let (code, text) = bed.shell("/relapse/bin/relapse diagnose app");
    let first = text.lines().next().unwrap_or_default();
    assert_eq!(code, 1);
    assert!(
        first.starts_with(&format!(
            "PROBLEM: app.service cannot have port 8000: process {manual}, started by hand, has it; "
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!("pid {manual}  /usr/bin/perl /srv/server.pl --host 0.0.0.0 --port 8000\n")),
        "{text}"
    );
    assert!(text.contains("It could be killed by a command of the unit, running as app, since both are of one user."));

    // Nobody whom the bus does not let in, as whom one may not look into the processes of others.
    let nobody = "setpriv --reuid=nobody --regid=nogroup --clear-groups /relapse/bin/relapse diagnose";
    let (code, text) = bed.shell(&format!("{nobody} --port 8000"));
    assert_eq!(code, 2, "{text}");
    assert!(
        text.starts_with("UNKNOWN: port 8000; but whether a unit fights for a port could not be seen.\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "a process of app, in a login session (session-7.scope of user 1000); which one could not be seen"
        ),
        "{text}"
    );
    assert!(text.contains(&format!("there runs: pid {manual}  /usr/bin/perl /srv/server.pl")), "{text}");
    assert!(text.contains("Which process has 0.0.0.0:8000 (of app): the descriptors of "), "{text}");
    assert!(text.contains("Run it as root, or as that user."), "{text}");
    assert!(text.contains("Units: systemd does not answer: "), "{text}");
    let (code, text) = bed.shell(&format!("{nobody} app"));
    assert_eq!(code, 2, "{text}");
    assert!(text.starts_with("error: systemd does not answer: "), "{text}");

    // What it says is what is done.
    let fix = commands(&bed.finding("app"))[0].clone();
    bed.shell(&fix);
    bed.until(
        "test \"$(ss -Hltnp 'sport = :8000' | sed 's/.*pid=//; s/,.*//')\" = \"$(systemctl show -P MainPID app)\"",
    );
    for arguments in ["", "app", "--port 8000"] {
        let (code, said) = bed.diagnose(arguments);
        assert_eq!((code, said["verdict"].as_str()), (0, Some("healthy")), "{said:#}");
    }
    let (_, text) = bed.shell("/relapse/bin/relapse diagnose app");
    assert!(text.starts_with("HEALTHY: app.service.\n  app.service runs since "), "{text}");
    assert!(text.contains(" and has 0.0.0.0:8000; it was restarted "), "{text}");
    bed.machine.end().expect("ended");
}

#[test]
fn the_variants_are_told_apart_on_a_real_systemd() {
    let Some(mut bed) = Bed::new() else { return };
    let on = |port: u16| server(&format!("--port {port}"));
    // Holders that are there before.
    bed.unit("old.service", &unit(&on(8002), ""));
    bed.unit("user@1000.service", &unit(&on(8008), "User=app\n"));
    bed.unit("own.socket", "[Socket]\nListenStream=0.0.0.0:8004\n");
    bed.unit("own.service", &unit(&on(8004), ""));
    for (session, arguments) in [
        (5, "--port 8005 --deaf"),
        (6, "--port 8006"),
        (7, "--port 8007"),
        (9, "--port 8009 --host 127.0.0.1"),
        (10, "--port 8010 --share"),
        (11, "--port 8011"),
    ] {
        bed.shell(&by_hand(session, arguments));
    }
    bed.unit("left.service", &unit(&server("--port 8003 --child"), "KillMode=process\n"));
    bed.shell("systemctl start old user@1000 own.socket left");
    for port in [8002, 8003, 8004, 8005, 8006, 8007, 8008, 8009, 8010, 8011] {
        bed.listens(port);
    }
    // Units that want the same.
    bed.unit("new.service", &unit(&on(8002), ""));
    bed.unit("deaf.service", &unit(&on(8005), ""));
    bed.unit("inside.service", &unit(&format!("/bin/sh -c 'while :; do {}; sleep 0.1; done'", on(8006)), ""));
    bed.unit("limited.service", &unit(&on(8007), "").replace("StartLimitIntervalSec=0", "StartLimitIntervalSec=1min"));
    bed.unit("system.service", &unit(&on(8008), ""));
    bed.unit("loopback.service", &unit(&on(8009), ""));
    bed.unit("shared.service", &unit(&server("--port 8010 --share"), "User=app\n"));
    bed.unit("refused.socket", "[Socket]\nListenStream=0.0.0.0:8011\n");
    bed.unit("refused.service", &unit("/bin/cat", ""));
    bed.unit("pidfile.service", &unit("/bin/sh -c 'echo already running with PID 4711 >&2; exit 1'", ""));
    bed.unit("clean.service", &unit("/bin/true", ""));
    bed.unit("crash.service", &unit("/bin/sh -c 'kill -SEGV $$$$'", "LimitCORE=0\n"));
    bed.unit("well.service", &unit(&on(8012), ""));
    bed.shell("kill -9 $(systemctl show -P MainPID left); systemctl start refused.socket 2>/dev/null");
    bed.shell("systemctl start new own deaf inside limited system loopback shared pidfile clean crash well");
    for unit in ["left", "new", "own", "deaf", "system", "loopback", "pidfile", "clean", "crash"] {
        bed.restarts(unit);
    }
    bed.until("test $(systemctl show -P ActiveState limited) = failed");
    bed.until("test $(journalctl -q -o cat -u inside | grep -c 'already in use') -ge 3");
    bed.listens(8012);
    bed.until("test $(ss -Hltn 'sport = :8010' | wc -l) = 2");

    // Unit, cause, port, a word of the first command, a page.
    let rows = [
        ("new.service", "other-unit", Some(8002), "systemctl disable --now old.service", "two-units-for-one-port"),
        ("left.service", "left-over-child", Some(8003), "kill ", "a-child-that-is-left-over"),
        ("own.service", "own-socket", Some(8004), "systemctl edit own.service", "under-a-socket-unit"),
        ("deaf.service", "manual-process", Some(8005), "kill -9 ", "a-holder-that-ignores-sigterm"),
        ("inside.service", "loop-inside-the-unit", Some(8006), "kill ", "a-loop-inside-the-unit"),
        ("limited.service", "start-limit", Some(8007), "kill ", "no-start-limit-hit-in-the-result"),
        (
            "system.service",
            "user-unit",
            Some(8008),
            "systemctl stop user@1000.service",
            "a-user-unit-and-a-system-unit",
        ),
        ("loopback.service", "manual-process", Some(8009), "kill ", "a-holder-on-the-loopback-address"),
        ("refused.socket", "socket-refused", Some(8011), "kill ", "a-socket-unit-while-the-port-is-taken"),
        ("pidfile.service", "stale-pid-file", None, "systemctl cat pidfile.service", "a-stale-pid-file"),
        ("clean.service", "clean-exit", None, "systemctl edit clean.service", "a-duplicate-that-exits-with-0"),
        ("crash.service", "not-the-port", None, "journalctl -u crash.service", ""),
    ];
    let (code, all) = bed.diagnose("");
    assert_eq!(code, 1, "{all:#}");
    for (unit, cause, port, command, page) in rows {
        let finding = bed.finding(unit);
        assert_eq!(finding["cause"], cause, "{unit}: {finding:#}");
        assert_eq!(finding["port"], port.map_or(Value::Null, |port: u16| port.into()), "{unit}: {finding:#}");
        assert!(commands(&finding)[0].starts_with(command), "{unit}: {finding:#}");
        assert!(finding["pages"].to_string().contains(page), "{unit}: {finding:#}");
        // Unasked, it is found among all.
        let same = |one: &&Value| one["unit"] == unit && one["cause"] == cause;
        assert!(all["findings"].as_array().is_some_and(|all| all.iter().any(|one| same(&one))), "{unit}: {all:#}");
    }
    let shared = bed.finding("--port 8010");
    assert_eq!(shared["cause"], "shared-port", "{shared:#}");
    assert!(commands(&shared).contains(&"systemctl disable --now shared.service".to_owned()), "{shared:#}");
    // What is well is not accused.
    for arguments in ["well", "old", "--port 8012"] {
        let (code, said) = bed.diagnose(arguments);
        assert_eq!(code, 0, "{arguments}: {said:#}");
    }
    bed.machine.end().expect("ended");
}
