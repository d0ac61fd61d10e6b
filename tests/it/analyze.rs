//! `relapse analyze` from the outside: systemd's tables and recordings through the command, and what it refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use assert_cmd::Command;
use rstest::rstest;
use serde_json::Value;

use crate::unit::{report, table, text};

/// What a command printed, and its exit code.
struct Said {
    stdout: String,
    stderr: String,
    code: i32,
}

fn analyze(directory: &Path, arguments: &[&str], stdin: &[u8]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relapse"));
    let output = command.current_dir(directory).arg("analyze").args(arguments).write_stdin(stdin).output();
    let output = output.expect("the command runs");
    Said {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code().expect("an exit code"),
    }
}

fn here(arguments: &[&str]) -> Said {
    analyze(Path::new("/"), arguments, b"")
}

fn rows<'a>(table: &'a Value, key: &str) -> &'a Vec<Value> {
    table[key].as_array().unwrap_or_else(|| panic!("no rows {key}"))
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// A directory with these files; a value that is an object is a link.
fn directory(files: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, content) in files.as_object().expect("files") {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        match content {
            Value::String(content) => fs::write(path, content).expect("a file"),
            link => symlink(text(link, "link"), path).expect("a link"),
        }
    }
    directory
}

/// A root with the programs that the recording machine had.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (path, mode) in [("bin/true", 0o755), ("bin/sh", 0o755), ("etc/passwd", 0o644)] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, "").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
    root
}

#[test]
fn every_recorded_time_span_is_explained_in_systemds_words() {
    let table = table("time_span");
    let cases = rows(&table, "cases");
    let mut failures = Vec::new();
    let (good, bad): (Vec<&Value>, Vec<&Value>) = cases.iter().partition(|case| case["ok"] == true);
    let mut arguments = vec!["timespan", "--"];
    arguments.extend(good.iter().map(|case| text(case, "input")));
    let said = here(&arguments);
    assert_eq!((said.stderr.as_str(), said.code), ("", 0));
    let blocks: Vec<&str> = said.stdout.strip_suffix('\n').expect("a line").split("\n\n").collect();
    assert_eq!(blocks.len(), good.len(), "no span has a line break in it");
    for (case, block) in good.iter().zip(blocks) {
        let micros = case["usec"].as_u64().unwrap_or(u64::MAX);
        let wanted =
            format!("Original: {}\n      μs: {micros}\n   Human: {}", text(case, "input"), text(case, "human"));
        if block != wanted {
            failures.push(format!("{:?}: wanted {wanted:?}, got {block:?}", text(case, "input")));
        }
    }
    for case in &bad {
        let said = here(&["timespan", "--", text(case, "input")]);
        // A hint is the last line, and all of it that was recorded.
        if said.stderr.lines().last() != case["error"].as_str() || !said.stdout.is_empty() || said.code != 2 {
            failures.push(format!("{case}: {:?} {:?} {}", said.stderr, said.stdout, said.code));
        }
    }
    assert!(good.len() > 40 && bad.len() > 10, "both kinds are in the table");
    report(&failures, cases.len());
}

#[test]
fn the_first_bad_span_ends_the_answers() {
    let said = here(&["timespan", "90", "soon", "5s"]);
    assert_eq!(said.stdout, "Original: 90\n      μs: 90000000\n   Human: 1min 30s\n");
    assert_eq!(said.stderr, "Failed to parse time span 'soon': Invalid argument\n");
    assert_eq!(said.code, 2);
}

#[test]
fn every_exit_status_is_listed_by_number_and_by_name() {
    let table = table("exit_status");
    let all = rows(&table, "all");
    let numbers: Vec<String> = all.iter().map(|row| row["status"].to_string()).collect();
    let mut arguments = vec!["exit-status"];
    arguments.extend(numbers.iter().map(String::as_str));
    let by_number = here(&arguments);
    assert_eq!((by_number.stderr.as_str(), by_number.code), ("", 0));
    let mut failures = Vec::new();
    let lines: Vec<&str> = by_number.stdout.lines().collect();
    assert_eq!(lines[0], "NAME                    STATUS CLASS");
    assert_eq!(lines.len(), all.len() + 1);
    for (row, line) in all.iter().zip(&lines[1..]) {
        let (name, class) = (row["name"].as_str().unwrap_or("-"), row["class"].as_str().unwrap_or("-"));
        let wanted = format!("{name:23} {:>6} {class}", row["status"].to_string());
        if *line != wanted {
            failures.push(format!("{}: {line:?}, not {wanted:?}", row["status"]));
        }
    }
    let named: Vec<&str> = all.iter().filter_map(|row| row["name"].as_str()).collect();
    let mut arguments = vec!["exit-status"];
    arguments.extend(&named);
    let by_name = here(&arguments).stdout;
    assert_eq!(by_name, here(&["exit-status"]).stdout, "without arguments: all that have a name");
    assert_eq!(by_name.lines().count(), named.len() + 1);
    report(&failures, all.len());
}

#[rstest]
#[case::a_few(&["0", "BPF", "23"], "NAME    STATUS CLASS\nSUCCESS      0 libc\nBPF        244 systemd\n-           23 -\n", "", 0)]
#[case::one_without_a_name(&["223"], "NAME STATUS CLASS\n-       223 -\n", "", 0)]
#[case::too_large(&["0", "999"], "", "Invalid exit status \"999\".\n", 2)]
#[case::a_signal(&["SIGKILL"], "", "Invalid exit status \"SIGKILL\".\n", 2)]
fn columns_are_as_wide_as_what_is_in_them(
    #[case] asked: &[&str],
    #[case] stdout: &str,
    #[case] stderr: &str,
    #[case] code: i32,
) {
    let said = here(&[&["exit-status"], asked].concat());
    assert_eq!((said.stdout.as_str(), said.stderr.as_str(), said.code), (stdout, stderr, code));
}

#[test]
fn every_recorded_verification_gives_the_same_lines_and_the_same_exit_code() {
    let table = table("verify_252");
    let cases = rows(&table, "cases");
    let root = root();
    let root = format!("--root={}", root.path().display());
    let mut failures = Vec::new();
    for case in cases {
        let directory = directory(&case["files"]);
        let path = directory.path().to_str().expect("UTF-8");
        let names: Vec<String> = strings(&case["names"]).iter().map(|name| format!("{path}/{name}")).collect();
        let mut arguments = vec!["verify", root.as_str()];
        arguments.extend(strings(&case["args"]));
        arguments.extend(names.iter().map(String::as_str));
        let said = analyze(directory.path(), &arguments, b"");
        let stderr = said.stderr.replace(path, "DIR");
        let got: Vec<&str> = stderr.lines().collect();
        if got != strings(&case["stderr"])
            || Some(i64::from(said.code)) != case["code"].as_i64()
            || !said.stdout.is_empty()
        {
            failures.push(format!(
                "{}: wanted {} {}, got {got:#?} {}",
                case["id"], case["stderr"], case["code"], said.code
            ));
        }
    }
    report(&failures, cases.len());
}

/// The unit of the incident report as it stands there.
const AS_PRINTED: &str = "\
[Unit]
Description=Lumiera WhatsApp Copilot API
After=network.target

[Service]
Type=simple
User=ceeai
Group=ceeai
WorkingDirectory=/home/ceeai/whatsapp_api
Environment=\"PATH=/home/ceeai/whatsapp_api/venv/bin:/usr/local/bin:/usr/bin:/bin\"
Environment=\"PYTHONPATH=/home/ceeai/whatsapp_api\"
ExecStart=/home/ceeai/whatsapp_api/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000
Restart=always          # Auto-restart on real crashes
RestartSec=10          # Wait 10 seconds before restart

StandardOutput=journal
StandardError=journal

[Install]
WantedBy=multi-user.target
";

#[test]
fn the_reported_unit_gets_the_two_warnings_of_252_and_those_of_257() {
    let directory = directory(&serde_json::json!({ "lumiera-whatsapp.service": AS_PRINTED }));
    let path = format!("{}/lumiera-whatsapp.service", directory.path().display());
    for (profile, restart, delay) in [
        (
            "252",
            "Failed to parse service restart specifier, ignoring: always          # Auto-restart on real crashes",
            "Failed to parse sec value, ignoring: 10          # Wait 10 seconds before restart",
        ),
        (
            "257",
            "Failed to parse Restart=always          # Auto-restart on real crashes, ignoring: Invalid argument",
            "Failed to parse RestartSec=10          # Wait 10 seconds before restart, ignoring: Invalid argument",
        ),
    ] {
        let said = analyze(directory.path(), &["verify", "--profile", profile, "lumiera-whatsapp.service"], b"");
        assert_eq!(said.stderr, format!("{path}:13: {restart}\n{path}:14: {delay}\n"), "{profile}");
        assert_eq!((said.stdout.as_str(), said.code), ("", 0), "{profile}: a warning is no failure");
    }
    let said = analyze(directory.path(), &["verify", "--recursive-errors=yes", "lumiera-whatsapp.service"], b"");
    assert_eq!(said.code, 1, "unless it is to be one");
    let said = analyze(directory.path(), &["verify", "-"], AS_PRINTED.as_bytes());
    assert!(said.stderr.starts_with("<stdin>:13: Failed to parse service restart specifier"), "{}", said.stderr);
    assert_eq!(said.code, 0);
}

#[test]
fn without_a_root_neither_programs_nor_units_elsewhere_are_missed() {
    let unit = "[Unit]\nRequires=postgresql.service\nAfter=postgresql.service\n[Service]\nExecStart=/opt/app/serve\n";
    let socket = "[Socket]\nListenStream=80\nService=elsewhere.service\n";
    let directory = directory(&serde_json::json!({ "app.service": unit, "app.socket": socket }));
    let verify = |options: &[&str], file: &str| {
        let said = analyze(directory.path(), &[&["verify"], options, &[file]].concat(), b"");
        (said.stderr, said.code)
    };
    assert_eq!(verify(&[], "app.service"), (String::new(), 0));
    assert_eq!(verify(&[], "app.socket"), (String::new(), 0));
    let root = root();
    let root = format!("--root={}", root.path().display());
    assert_eq!(
        verify(&[&root], "app.service"),
        (
            "app.service: Failed to create app.service/start: Unit postgresql.service not found.\n\
             app.service: Command /opt/app/serve is not executable: No such file or directory\n"
                .to_owned(),
            1
        )
    );
    assert_eq!(
        verify(&[&root], "app.socket"),
        ("app.socket: service elsewhere.service not loaded, socket cannot be started.\n".to_owned(), 1)
    );
}

#[test]
fn units_and_programs_are_found_below_the_root_and_never_outside_of_it() {
    let root = root();
    let at = |path: &str| root.path().join(path);
    for directory in ["etc/systemd/system", "usr/lib/systemd/system/app.service.d", "opt", "usr/bin"] {
        fs::create_dir_all(at(directory)).expect("a directory");
    }
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("x.service"), "[Service]\nBogus=1\n").expect("a file");
    fs::write(at("usr/lib/systemd/system/app.service"), "[Unit]\nRequires=db.service\n[Service]\nExecStart=app\n")
        .expect("a file");
    fs::write(at("usr/lib/systemd/system/app.service.d/10.conf"), "[Service]\nRestart=maybe\n").expect("a file");
    fs::write(at("opt/db.service"), "[Service]\nExecStart=/bin/true\nBogus=1\n").expect("a file");
    symlink("/opt/db.service", at("etc/systemd/system/db.service")).expect("a link");
    // Absolute, and relative too high: both stay inside.
    symlink("/bin/true", at("usr/bin/app")).expect("a link");
    symlink("../../../../../../../../../bin/sh", at("usr/bin/up")).expect("a link");
    symlink(outside.path().join("x.service"), at("etc/systemd/system/x.service")).expect("a link");
    let option = format!("--root={}", root.path().display());
    let said = here(&["verify", &option, "app.service"]);
    let shown = said.stderr.replace(root.path().to_str().expect("UTF-8"), "ROOT");
    assert_eq!(
        shown,
        "ROOT/usr/lib/systemd/system/app.service.d/10.conf:2: Failed to parse service restart specifier, ignoring: maybe\n\
         ROOT/etc/systemd/system/db.service:3: Unknown key 'Bogus' in section [Service], ignoring.\n"
    );
    assert_eq!(said.code, 0);
    let up = here(&["verify", &option, "--name=up.service", "-"]);
    assert_eq!(up.code, 1, "an empty file is a mask");
    let up = analyze(Path::new("/"), &["verify", &option, "-"], b"[Service]\nExecStart=/usr/bin/up\n");
    assert_eq!((up.stderr.as_str(), up.code), ("", 0));
    let outside = here(&["verify", &option, "x.service"]);
    assert_eq!(outside.code, 2, "a link that leaves the root leads nowhere: {}", outside.stderr);
}

#[test]
fn every_recorded_unit_file_has_its_properties_and_messages_through_the_command() {
    let table = table("unit_file_parse");
    let cases = rows(&table, "cases");
    let directory = tempfile::tempdir().expect("a directory");
    let mut failures = Vec::new();
    for case in cases {
        let id = text(case, "id");
        let name = format!("pj-{id}.service");
        let content: Vec<u8> = match text(case, "encoding") {
            "latin1" => text(case, "unit_file").chars().map(|c| u8::try_from(u32::from(c)).expect("latin1")).collect(),
            _ => text(case, "unit_file").into(),
        };
        fs::write(directory.path().join(&name), content).expect("a file");
        let show = case["show"].as_object().expect("show");
        let keys: Vec<&str> = show.keys().map(String::as_str).collect();
        let said = analyze(directory.path(), &["show", "--property", &keys.join(","), &name], b"");
        for (key, wanted) in show {
            let wanted = wanted.as_str().expect("text");
            let got = said.stdout.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
            // Lists of units have the order of a hash table, and the watchdog is a matter of the running service.
            let sorted = |list: &str| {
                let mut words: Vec<String> = list.split(' ').map(str::to_owned).collect();
                words.sort();
                words
            };
            let same = match key.as_str() {
                "WatchdogUSec" => true,
                "After" | "Before" | "Requires" | "Wants" | "Conflicts" => {
                    got.is_some_and(|got| sorted(got) == sorted(wanted))
                }
                _ => got == Some(wanted),
            };
            if !same {
                failures.push(format!("{id}: {key}: wanted {wanted:?}, got {got:?}"));
            }
        }
        let path = format!("{}/{name}", directory.path().display());
        let got: Vec<String> =
            said.stderr.lines().map(|line| line.replace(&path, "FILE").replace(&name, "UNIT")).collect();
        let wanted: Vec<&str> = strings(&case["journal"])
            .iter()
            .map(|line| line.split_once("> ").map_or(*line, |(_, text)| text))
            .collect();
        if got != wanted || said.code != 0 {
            failures.push(format!("{id}: wanted {wanted:#?}, got {got:#?}, {}", said.code));
        }
    }
    report(&failures, cases.len());
}

#[test]
fn every_recorded_command_line_is_printed_as_the_arguments_the_program_got() {
    let table = table("exec_split");
    let quote = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let environment: String = table["environment_of_unit"]
        .as_object()
        .expect("variables")
        .iter()
        .map(|(name, value)| format!("Environment=\"{name}={}\"\n", quote(value.as_str().expect("text"))))
        .collect();
    let cases = rows(&table, "cases");
    let mut failures = Vec::new();
    for case in cases {
        let id = text(case, "id");
        let unit = format!("[Service]\nType=oneshot\n{environment}ExecStart={}\n", text(case, "exec_start"));
        let said = analyze(Path::new("/"), &["exec", "--name", "exec.service", "-"], unit.as_bytes());
        let refused = case.get("load_state").is_some_and(|state| state != "loaded");
        if said.code != i32::from(refused) {
            failures.push(format!("{id}: exit code {}: {}", said.code, said.stderr));
            continue;
        }
        if let Some(wanted) = case.get("commands") {
            let got: Value = serde_json::from_str(&said.stdout).expect("JSON");
            let got: Vec<Vec<&str>> = got["ExecStart"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
                .iter()
                .filter(|command| command["path"] != "/bin/false")
                .map(|command| {
                    // The recording program shows argv[0] only under its second name.
                    let first = usize::from(!text(command, "path").ends_with("argv0"));
                    strings(&command["argv"])[first..].to_vec()
                })
                .collect();
            let wanted: Vec<Vec<&str>> = wanted.as_array().expect("commands").iter().map(strings).collect();
            if got != wanted {
                failures.push(format!("{id}: wanted {wanted:?}, got {got:?}"));
            }
        }
    }
    report(&failures, cases.len());
}

#[test]
fn commands_have_their_flags_and_what_only_a_running_service_knows_stays() {
    let unit = "[Service]\nType=notify\nUser=ceeai\nEnvironment=A=1 B='two words'\nUnsetEnvironment=B\n\
                ExecStartPre=-!/bin/echo %n $A $B ${B} $UNKNOWN ${UNKNOWN}.\n\
                ExecStart=:@/bin/serve served $A\n\
                ExecReload=/bin/kill -HUP $MAINPID\n\
                ExecStopPost=+/bin/echo $SERVICE_RESULT $USER $HOME $PATH\n";
    let said = analyze(Path::new("/"), &["exec", "--name=a.service", "-"], unit.as_bytes());
    assert_eq!(
        said.stdout,
        concat!(
            r#"{"ExecStartPre":[{"path":"/bin/echo","argv":["/bin/echo","a.service","1","","."],"flags":["-","!"]}],"#,
            r#""ExecStart":[{"path":"/bin/serve","argv":["served","$A"],"flags":[":"]}],"#,
            r#""ExecReload":[{"path":"/bin/kill","argv":["/bin/kill","-HUP","$MAINPID"],"flags":[]}],"#,
            r#""ExecStopPost":[{"path":"/bin/echo","argv":["/bin/echo","$SERVICE_RESULT","ceeai","$HOME","#,
            r#""/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"flags":["+"]}]}"#,
            "\n"
        )
    );
    assert_eq!((said.stderr.as_str(), said.code), ("", 0));
}

#[test]
fn an_environment_file_is_read_below_the_root_and_else_its_variables_keep_their_names() {
    let unit =
        b"[Service]\nEnvironment=HOST=::\nEnvironmentFile=/etc/default/app\nExecStart=/bin/app -p ${PORT} -h $HOST\n";
    let root = root();
    fs::create_dir_all(root.path().join("etc/default")).expect("a directory");
    let option = format!("--root={}", root.path().display());
    let argv = |said: &Said| {
        let json: Value = serde_json::from_str(&said.stdout).expect("JSON");
        strings(&json["ExecStart"][0]["argv"])[1..].join(" ")
    };
    let blind = analyze(Path::new("/"), &["exec", "-"], unit);
    assert_eq!(argv(&blind), "-p $PORT -h ::");
    assert_eq!(
        blind.stderr,
        "stdin.service: EnvironmentFile=/etc/default/app is not looked at without --root; what only it could set is \
         shown by name\n"
    );
    let missing = analyze(Path::new("/"), &["exec", &option, "-"], unit);
    assert_eq!(missing.stderr, "stdin.service: Failed to load environment files: No such file or directory\n");
    assert_eq!(missing.code, 1);
    fs::write(root.path().join("etc/default/app"), "PORT=8000\nHOST=localhost\n").expect("a file");
    let found = analyze(Path::new("/"), &["exec", &option, "-"], unit);
    assert_eq!((argv(&found).as_str(), found.stderr.as_str(), found.code), ("-p 8000 -h localhost", "", 0));
}

#[test]
fn properties_are_those_of_systemctl_show_and_say_where_the_files_lie() {
    let directory = directory(&serde_json::json!({
        "a.service": "[Unit]\nDescription=A\n[Service]\nExecStart=/bin/true\nRestartSec=10\n[Install]\nWantedBy=multi-user.target\n",
        "a.service.d/10-x.conf": "[Service]\nRestart=always\n",
    }));
    let show = |arguments: &[&str]| analyze(directory.path(), &[&["show"], arguments].concat(), b"");
    let path = directory.path().display();
    assert_eq!(
        show(&["-p", "Restart", "-p", "FragmentPath,DropInPaths,UnitFileState,Job", "a.service"]).stdout,
        format!(
            "Restart=always\nFragmentPath={path}/a.service\nDropInPaths={path}/a.service.d/10-x.conf\nUnitFileState=disabled\nJob=\n"
        )
    );
    assert_eq!(show(&["--value", "-p", "RestartUSec", "a.service"]).stdout, "10s\n");
    let all = show(&["a.service"]).stdout;
    assert!(all.starts_with("Type=simple\nExitType=main\nRestart=always\n"), "{all}");
    assert!(all.contains("\nId=a.service\n") && all.contains("\nActiveState=inactive\n"), "{all}");
    assert!(!all.contains("\nJob=\n") && show(&["--all", "a.service"]).stdout.contains("\nJob=\n"));
    assert!(
        !all.contains("RestartSteps=") && show(&["--profile=257", "a.service"]).stdout.contains("RestartSteps=0\n")
    );
    let two = show(&["-p", "Id", "a.service", "a.service"]).stdout;
    assert_eq!(two, "Id=a.service\n\nId=a.service\n");
    let bad = analyze(directory.path(), &["show", "-p", "LoadState", "-"], b"[Service\n");
    assert_eq!((bad.stdout.as_str(), bad.code), ("LoadState=error\n", 0));
    assert_eq!(bad.stderr, "<stdin>:1: Invalid section header '[Service'\n");
}

#[test]
fn the_one_verification_of_256_that_is_another_looks_for_every_program() {
    let unit = b"[Service]\nExecStartPre=/bin/true\nExecStartPre=/no/where\nExecStart=/bin/true\n";
    let root = root();
    let option = format!("--root={}", root.path().display());
    for (profile, code) in [("252", 0), ("257", 1), ("260", 1)] {
        let said = analyze(Path::new("/"), &["verify", &option, "--profile", profile, "-"], unit);
        assert_eq!(said.code, code, "{profile}: {}", said.stderr);
        assert_eq!(said.stderr.contains("Command /no/where is not executable: No such file or directory"), code == 1);
    }
}

#[test]
fn nothing_that_a_terminal_would_obey_is_printed() {
    let bad = "\u{1b}]0;title\u{7}\u{9b}31m\u{202e}";
    let unit = format!(
        "[Unit]\nDescription=D{bad}\nDocumentation=man:{bad}\n[Service]\nEnvironment=E={bad}\nExecStart=/bin/echo {bad} \\x1b[31m\n\
         Restart={bad}\n{bad}=1\n[{bad}]\n"
    );
    for arguments in [&["verify", "-"][..], &["show", "-"], &["exec", "-"], &["show", "-p", "Description", "-"]] {
        let said = analyze(Path::new("/"), arguments, unit.as_bytes());
        for text in [&said.stdout, &said.stderr] {
            let obeyed: Vec<char> = text.chars().filter(|c| *c != '\n' && relapse::timeline::is_obeyed(*c)).collect();
            assert!(obeyed.is_empty(), "{arguments:?}: {obeyed:?} in {text:?}");
        }
        assert!(!said.stderr.is_empty(), "{arguments:?}: there is something to say");
    }
    for arguments in [
        vec!["timespan", bad],
        vec!["exit-status", bad],
        vec!["escape", "--template", bad, "x"],
        vec!["escape", "--unescape", "a\\x1b[31m"],
        vec!["verify", bad],
        vec!["verify", "--root", bad, "x.service"],
        vec!["show", "--name", bad, "-"],
    ] {
        let said = here(&arguments);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.chars().any(|c| c != '\n' && relapse::timeline::is_obeyed(c)), "{arguments:?}: {all:?}");
    }
}

#[rstest]
#[case::no_subcommand(&[], "Usage: relapse analyze")]
#[case::an_unknown_subcommand(&["blame"], "unrecognized subcommand 'blame'")]
#[case::no_span(&["timespan"], "<SPAN>...")]
#[case::no_file(&["verify"], "<FILE>...")]
#[case::an_unknown_option(&["verify", "--force", "x.service"], "unexpected argument '--force'")]
#[case::an_unknown_profile(&["verify", "--profile=253", "x.service"], "known versions of systemd are 252, 257 and 260")]
#[case::an_unknown_mode(&["verify", "--recursive-errors=some", "x.service"], "[possible values: no, one, yes]")]
#[case::a_missing_file(&["verify", "/no/where.service"], "error: /no/where.service: there is no such file\n")]
#[case::no_unit(&["show", "/etc/hostname"], "error: /etc/hostname: not the name of a unit, which is NAME.service")]
#[case::a_device(&["exec", "/dev/zero"], "error: /dev/zero: not the name of a unit")]
#[case::a_missing_root(&["verify", "--root=/no/where", "x.service"], "error: --root=/no/where: there is no such directory\n")]
#[case::a_bad_name(&["show", "--name=x", "-"], "error: --name=x: not the name of a unit")]
#[case::an_escape_and_its_opposite(&["escape", "-u", "-m", "x"], "cannot be used with")]
#[case::a_bad_escape(&["escape", "-u", "a\\zb"], "Failed to unescape string: Invalid argument\n")]
fn bad_input_is_one_clear_error_and_exit_code_2(#[case] arguments: &[&str], #[case] message: &str) {
    let said = here(arguments);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains(message), "{:?}", said.stderr);
    assert_eq!(said.stdout, "");
}

#[test]
fn a_file_that_is_no_file_is_refused_and_never_waited_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe.service");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    fs::create_dir(directory.path().join("dir.service")).expect("a directory");
    fs::File::create(directory.path().join("big.service")).expect("a file").set_len(1 << 30).expect("a length");
    fs::write(directory.path().join("good.service"), "[Service]\nExecStart=/bin/true\n").expect("a file");
    for (name, why) in [
        ("pipe.service", "not a regular file"),
        ("dir.service", "not a regular file"),
        ("big.service", "larger than 16 MiB, which no unit file is"),
    ] {
        let said = analyze(directory.path(), &["verify", name], b"");
        assert_eq!((said.stderr, said.code), (format!("error: {name}: {why}\n"), 2));
    }
    let said = analyze(directory.path(), &["verify", "good.service"], b"");
    assert_eq!((said.stderr.as_str(), said.code), ("", 0), "what lies beside a file does it no harm");
}

#[test]
fn each_subcommand_explains_itself_and_its_exit_codes() {
    for command in ["timespan", "verify", "show", "exec", "exit-status", "escape"] {
        let said = here(&[command, "--help"]);
        assert_eq!((said.stderr.as_str(), said.code), ("", 0));
        assert!(said.stdout.contains("Exit codes: 0 "), "{command}: {}", said.stdout);
    }
}
