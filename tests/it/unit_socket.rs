//! `[Socket]` units, and printing units back.

use relapse::unit::{LoadState, Profile, Unit};

use crate::unit::report;

fn socket(lines: &str) -> Unit {
    Unit::parse("x.socket", format!("[Socket]\n{lines}\n"), Profile::V252)
}

#[test]
fn addresses_are_read_as_systemd_normalises_them() {
    let rows = [
        ("8000", Ok("[::]:8000")),
        ("0x1F40", Ok("[::]:8000")),
        ("0.0.0.0:8000", Ok("0.0.0.0:8000")),
        ("127.0.0.1:8100", Ok("127.0.0.1:8100")),
        ("[::1]:80", Ok("[::1]:80")),
        ("[0:0::1]:80", Ok("[::1]:80")),
        ("/run/x.sock", Ok("/run/x.sock")),
        ("@abstract", Ok("@abstract")),
        ("vsock:2:1234", Ok("vsock:2:1234")),
        ("70000", Err("Numerical result out of range")),
        ("0", Err("Invalid argument")),
        ("127.0.0.1", Err("Invalid argument")),
        ("127.0.0.1:0", Err("Invalid argument")),
        ("localhost:80", Err("Invalid argument")),
        ("::1", Err("Invalid argument")),
        ("/", Err("Invalid argument")),
    ];
    let mut failures = Vec::new();
    for (value, wanted) in rows {
        let unit = socket(&format!("ListenStream={value}"));
        let listen = &unit.socket.as_ref().expect("a socket").listen;
        let got = match (listen.first(), unit.warnings.first()) {
            (Some(listen), None) => Ok(listen.address.as_str()),
            (_, Some(warning)) => Err(warning.text.rsplit(": ").next().unwrap_or_default()),
            (None, None) => Err("nothing"),
        };
        if got != wanted {
            failures.push(format!("{value}: wanted {wanted:?}, got {got:?}"));
        }
    }
    report(&failures, rows.len());
}

#[test]
fn a_socket_needs_an_address_and_its_other_settings_have_defaults() {
    let unit = socket("Accept=no");
    assert_eq!(unit.load_state, LoadState::BadSetting);
    assert_eq!(
        unit.warnings[0].message(),
        "x.socket: Unit has no Listen setting (ListenStream=, ListenDatagram=, ListenFIFO=, ...). Refusing."
    );
    let unit = socket("ListenStream=80\nListenStream=\nListenStream=8000\nListenFIFO=/run/fifo\nBindIPv6Only=both");
    assert_eq!(unit.load_state, LoadState::Loaded);
    for (key, wanted) in [
        ("Listen", "[::]:8000 (Stream)"),
        ("Accept", "no"),
        ("BindIPv6Only", "both"),
        ("FileDescriptorName", "x.socket"),
        ("TriggerLimitIntervalUSec", "2s"),
        ("TriggerLimitBurst", "20"),
        ("MaxConnections", "64"),
    ] {
        assert_eq!(unit.property(key).as_deref(), Some(wanted), "{key}");
    }
    assert_eq!(socket("ListenStream=80\nAccept=yes").property("TriggerLimitBurst").as_deref(), Some("200"));
}

#[test]
fn accepting_and_naming_a_service_exclude_each_other() {
    let rows = [
        (
            "Accept=yes\nService=y.service",
            "Explicit service configuration for accepting socket units not supported. Refusing.",
        ),
        (
            "Accept=yes\nListenFIFO=/run/x",
            "Unit configured for accepting sockets, but sockets are non-accepting. Refusing.",
        ),
        ("Accept=yes\nMaxConnections=0", "MaxConnection= setting too small. Refusing."),
    ];
    for (lines, text) in rows {
        let unit = socket(&format!("ListenStream=80\n{lines}"));
        assert_eq!(unit.load_state, LoadState::BadSetting, "{lines}");
        assert_eq!(unit.warnings[0].text, text);
    }
    let unit = socket("ListenStream=80\nService=y.timer");
    assert_eq!(unit.warnings[0].text, "Unit must be of type service, ignoring: y.timer");
}

#[test]
fn a_printed_unit_is_the_file_somebody_would_have_written() {
    let text = "# comment\n[Unit]\nDescription=50%% done\nAfter=network.target\nStartLimitIntervalSec=0\n\
                [Service]\nExecStart=-/usr/bin/python3 -c 'print(\"a b\")' $OPTIONS ;  /bin/true\n\
                Type=oneshot\nRestart=on-failure\nRestartSec=1500ms\nEnvironment=A=1 \"B=two words\"\n\
                EnvironmentFile=-/etc/default/x\nSuccessExitStatus=SIGKILL 3\n[Install]\nWantedBy=multi-user.target\n";
    let unit = Unit::parse("x.service", text, Profile::V252);
    assert_eq!(
        unit.to_text(),
        "[Unit]\nDescription=50%% done\nAfter=network.target\nStartLimitIntervalSec=0s\n\n\
         [Service]\nType=oneshot\nExecStart=-/usr/bin/python3 -c \"print(\\\"a b\\\")\" $OPTIONS\nExecStart=/bin/true\n\
         Restart=on-failure\nRestartSec=1500ms\nSuccessExitStatus=3 KILL\nEnvironment=A=1\nEnvironment=\"B=two words\"\n\
         EnvironmentFile=-/etc/default/x\n\n[Install]\nWantedBy=multi-user.target\n"
    );
}
