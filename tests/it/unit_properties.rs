//! What must hold for any unit file, not only for the recorded ones.
//!
//! The inputs are the same in every run; `PROPTEST_CASES=10000` looks further.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use relapse::unit::install::{self, Options, Verb};
use relapse::unit::{
    self, ExecCommand, Files, LoadState, Profile, Service, Unit, environment, expand, known_keys, load, name,
    parse_environment_file,
};

pub(crate) fn check<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: Debug,
{
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    if let Err(error) = runner.run(&strategy, test) {
        panic!("{error}");
    }
}

pub(crate) fn profiles() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::V252), Just(Profile::V257), Just(Profile::V260)]
}

/// Pieces that make a parser stumble.
const PIECES: &[&str] = &[
    "yes",
    "no",
    "maybe",
    "",
    "0",
    "-1",
    "3",
    "0x10",
    "1s",
    "1min 30s",
    "infinity",
    "5.",
    "always",
    "oneshot",
    "simple",
    "notify",
    "mixed",
    "none",
    "TERM",
    "SIGKILL",
    "RTMIN+2",
    "/bin/true",
    "/bin/sh -c \"a b\"",
    "-/bin/false",
    "@/bin/x zero",
    "bin/x",
    ";",
    "\\;",
    "'",
    "\"",
    "\\",
    "\\\\",
    "\\x41",
    "\\q",
    "\\u00e9",
    "%n",
    "%i",
    "%z",
    "%",
    "%%",
    "$A",
    "${A}",
    "$$",
    "A=1",
    "A=\"b c\"",
    "/etc/x",
    "../x",
    "~",
    "-",
    "|",
    "!",
    "a.service",
    "b@.service",
    "x.socket",
    "not a name",
    "man:x(1)",
    "http://y",
    "#",
    "# c",
    "é",
    "\u{fffe}",
    "[::1]:80",
    "8000",
    "@abs",
    "journal",
    "file:/x",
    "1:2",
    "64K",
    "root",
    "a b",
];

fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => "[ -~]{0,12}".prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.join(" "))
}

/// A unit of known keys with values that are now and then right.
fn unit_text(own: &'static str) -> impl Strategy<Value = String> {
    let keys: Vec<(&str, &str)> = {
        let mut keys: Vec<_> = known_keys(Profile::V260).collect();
        keys.retain(|(section, _)| [own, "Unit", "Install"].contains(section));
        keys.sort_unstable();
        keys
    };
    let line = (prop::sample::select(keys), value());
    prop::collection::vec(line, 0..25).prop_map(move |lines| {
        let required = if own == "Socket" { "ListenStream=8000" } else { "ExecStart=/bin/true" };
        let mut text = format!("[{own}]\n{required}\n");
        for ((section, key), value) in lines {
            text.push_str(&format!("[{section}]\n{key}={value}\n"));
        }
        text
    })
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(prop::sample::select(b"[]=\\\n\r\0#; \t\"'%$Unit\xff\xef\xbb\xbf".as_slice()), 0..200),
        (unit_text("Service"), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5)).prop_map(
            |(text, edits)| {
                let mut bytes = text.into_bytes();
                for (index, byte) in edits {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            }
        ),
    ];
    check((bytes, profiles()), |(bytes, profile)| {
        for name in ["x.service", "x@y-z.service", "x.socket", "x.timer"] {
            let unit = Unit::parse(name, &bytes, profile);
            prop_assert_eq!(unit.load_error.is_some(), unit.load_state != LoadState::Loaded);
            let properties = unit.properties();
            prop_assert!(properties.iter().any(|(key, _)| *key == "LoadState"));
            drop(unit.to_text());
        }
        drop(environment::read_environment_file(&bytes));
        Ok(())
    });
}

/// What does not come from the file's settings.
fn settings_of(mut unit: Unit) -> Unit {
    unit.warnings.clear();
    unit
}

#[test]
fn a_unit_that_is_printed_and_read_again_means_the_same() {
    let units = prop_oneof![
        (Just("x.service"), unit_text("Service")),
        (Just("a-b@c-d.service"), unit_text("Service")),
        (Just("x.socket"), unit_text("Socket")),
    ];
    check((units, profiles()), |((name, text), profile)| {
        let unit = Unit::parse(name, &text, profile);
        if unit.load_state != LoadState::Loaded {
            return Ok(());
        }
        let printed = unit.to_text();
        let again = Unit::parse(name, &printed, profile);
        let complaints: Vec<_> = again
            .warnings
            .iter()
            .filter(|warning| warning.line.is_some() && !warning.text.contains("KillMode=none"))
            .collect();
        prop_assert!(complaints.is_empty(), "{complaints:?}\n{printed}");
        prop_assert_eq!(settings_of(unit), settings_of(again), "{}", printed);
        Ok(())
    });
}

fn any_word() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|word| word.replace('\0', "")),
        "[ -~\t\n]{0,8}".prop_map(String::from),
        prop::sample::select(PIECES).prop_map(str::to_owned),
    ]
}

#[test]
fn any_arguments_survive_the_way_through_a_unit_file() {
    let command =
        (prop::collection::vec(any_word(), 0..5), any::<[bool; 3]>(), prop::sample::select(&["", "+", "!", "!!"][..]));
    check(command, |(mut arguments, [ignore_failure, no_env_expand, separate], privileges)| {
        if separate && arguments.is_empty() {
            arguments.push("zero".into());
        }
        let path = "/opt/my program/run";
        let mut argv = if separate { Vec::new() } else { vec![path.to_owned()] };
        argv.extend(arguments);
        let command =
            ExecCommand { path: path.into(), argv, ignore_failure, no_env_expand, privileges, via_shell: false };
        let service = Service { exec_start: vec![command.clone()], ..Service::default() };
        let unit = Unit { name: "x.service".into(), service: Some(service), ..Unit::default() };
        let again = Unit::parse("x.service", unit.to_text(), Profile::V252);
        prop_assert_eq!(&again.warnings, &[], "{}", unit.to_text());
        prop_assert_eq!(&again.service.expect("a service").exec_start, &[command]);
        Ok(())
    });
}

#[test]
fn any_environment_survives_the_way_through_a_unit_file() {
    check(prop::collection::vec(("[A-Za-z_][A-Za-z0-9_]{0,5}", any_word()), 0..5), |block| {
        let mut wanted = Vec::new();
        block.iter().for_each(|(name, value)| environment::set(&mut wanted, name, value));
        let service = Service {
            environment: wanted.clone(),
            exec_start: vec![ExecCommand { path: "/x".into(), argv: vec!["/x".into()], ..ExecCommand::default() }],
            ..Service::default()
        };
        let unit = Unit { name: "x.service".into(), service: Some(service), ..Unit::default() };
        let again = Unit::parse("x.service", unit.to_text(), Profile::V252);
        prop_assert_eq!(&again.warnings, &[], "{}", unit.to_text());
        prop_assert_eq!(again.service.expect("a service").environment, wanted);
        Ok(())
    });
}

#[test]
fn expansion_ends_and_leaves_what_has_no_dollar() {
    let env = vec![("A".to_owned(), "one 'two three' \"".to_owned()), ("B".to_owned(), "$A ${A}".to_owned())];
    check(prop::collection::vec(any_word(), 1..5), |words| {
        let command = ExecCommand { path: "/x".into(), argv: words.clone(), ..ExecCommand::default() };
        let argv = expand(&command, &env);
        if words.iter().all(|word| !word.contains('$')) {
            prop_assert_eq!(argv, words);
        }
        Ok(())
    });
}

#[test]
fn an_environment_file_gives_back_what_was_quoted_into_it() {
    check(prop::collection::vec(("[A-Z_][A-Z0-9_]{0,5}", any_word()), 0..5), |block| {
        let mut wanted = Vec::new();
        let mut text = String::new();
        for (name, value) in &block {
            environment::set(&mut wanted, name, value);
            let mut quoted = String::new();
            for c in value.chars() {
                if matches!(c, '"' | '\\' | '`' | '$') {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
            text.push_str(&format!("{name}=\"{quoted}\"\n"));
        }
        prop_assert_eq!(parse_environment_file(text.as_bytes()), wanted);
        Ok(())
    });
}

#[test]
fn escaping_a_name_can_be_undone_and_makes_a_valid_name() {
    check(any_word(), |word| {
        let escaped = name::escape(&word);
        prop_assert_eq!(name::unescape(&escaped), Ok(word.clone()));
        if !escaped.is_empty() && escaped.len() < 200 {
            let unit = format!("{escaped}.service");
            prop_assert!(name::is_valid(&unit), "{}", unit);
        }
        if let Ok(mangled) = name::mangle(&word, ".service") {
            prop_assert!(name::is_valid(&mangled.name), "{}", mangled.name);
            let again = name::mangle(&mangled.name, ".service").expect("a valid name");
            prop_assert_eq!(again.name, mangled.name);
        }
        let _ = name::glob_matches(&word, &escaped);
        Ok(())
    });
}

/// A tangle of files and symlinks in the unit directories.
fn tangle() -> impl Strategy<Value = Files> {
    const DIRS: &[&str] = &["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/opt"];
    const NAMES: &[&str] = &[
        "a.service",
        "b.service",
        "t@.service",
        "t@1.service",
        "u@.service",
        "m.target",
        "s.socket",
        "a.service.d/1.conf",
        "t@.service.d",
        "m.target.wants/a.service",
        "m.target.wants/t@1.service",
        "m.target.wants",
    ];
    const TEXTS: &[&str] = &[
        "",
        "[Install]\nWantedBy=m.target\nAlso=b.service t@2.service\n",
        "[Install]\nAlias=b.service u@.service %i.service\n",
        "[Service]\nExecStart=/bin/true\n[Install]\nDefaultInstance=1\nWantedBy=m.target u@%i.service\n",
        "[Broken\n",
    ];
    let place = || (prop::sample::select(DIRS), prop::sample::select(NAMES));
    let entry = prop_oneof![
        (place(), prop::sample::select(TEXTS)).prop_map(|((dir, name), text)| (format!("{dir}/{name}"), Err(text))),
        (place(), place())
            .prop_map(|((dir, name), (to, other))| (format!("{dir}/{name}"), Ok(format!("{to}/{other}")))),
        (place(), prop::sample::select(NAMES))
            .prop_map(|((dir, name), other)| (format!("{dir}/{name}"), Ok(other.to_owned()))),
        place().prop_map(|(dir, name)| (format!("{dir}/{name}"), Ok("/dev/null".to_owned()))),
    ];
    prop::collection::vec(entry, 0..15).prop_map(|entries| {
        let mut files = Files::default();
        for (path, entry) in entries {
            match entry {
                Ok(target) => files.symlink(path, target),
                Err(text) => files.insert(path, text),
            }
        }
        files
    })
}

#[test]
fn no_tangle_of_symlinks_makes_loading_or_enabling_panic_or_enabling_differ_the_second_time() {
    let verbs = [Verb::Enable, Verb::Disable, Verb::Reenable, Verb::Mask, Verb::Unmask, Verb::Link];
    check((tangle(), profiles(), prop::sample::select(verbs.to_vec())), |(mut files, profile, verb)| {
        for unit in ["a.service", "t@1.service", "t@.service", "u@x.service", "m.target", "s.socket", "nosuch.service"]
        {
            let loaded = load(&files, unit, profile);
            prop_assert!(!loaded.aliases.contains(&loaded.name));
            let _ = unit::unit_file_state(&files, unit, profile);
        }
        let options = Options { profile, ..Options::default() };
        let names = ["a.service", "t@1.service"];
        let first = install::run(verb, &files, &names, options);
        first.apply(&mut files);
        let second = install::run(verb, &files, &names, options);
        if first.exit_code == 0 && matches!(verb, Verb::Enable | Verb::Mask) {
            prop_assert_eq!(&second.changes, &[], "{:?}", second.stderr);
        }
        Ok(())
    });
}

/// Whatever takes quadratic time for inputs of this size is noticed by everybody who runs the tests.
#[test]
fn large_inputs_of_any_kind_are_read_in_linear_time() {
    const SIZE: usize = 64 * 1024;
    let repeat = |piece: &str| piece.repeat(SIZE / piece.len());
    let values = [
        "a ",
        "\\",
        "\\\\",
        "\"",
        "'\"",
        "\\x41",
        "%%",
        "%n",
        "${A}",
        "$A ",
        "; ",
        "\\; ",
        "A=1 ",
        "1s ",
        "/./",
        "../",
        "[",
        "a.service ",
        "|",
        "!",
        "\u{fffe}",
        "é",
    ];
    for piece in values {
        let value = repeat(piece);
        for key in
            ["ExecStart", "Environment", "RestartSec", "WorkingDirectory", "SuccessExitStatus", "EnvironmentFile"]
        {
            let text = format!("[Service]\nExecStart=/bin/true\n{key}=/x {value}\n");
            drop(Unit::parse("x.service", text, Profile::V252));
        }
    }
    for line in ["[Unit]\n", "\\\n", "#\n", "x\n", "=\n", "\r\n", "\0", "After=a.service\n", "Environment=A=1\n"] {
        drop(Unit::parse("x.service", format!("[Service]\n{}", repeat(line)), Profile::V252));
    }
    // Many different names must not be looked for one by one.
    let names = |piece: &dyn Fn(usize) -> String| (0..20_000).map(piece).collect::<Vec<_>>().join(" ");
    for (key, value) in [
        ("Environment", names(&|index| format!("A{index}=1"))),
        ("UnsetEnvironment", names(&|index| format!("A{index}"))),
        ("Sockets", names(&|index| format!("{index}.socket"))),
    ] {
        let unit = Unit::parse("x.service", format!("[Service]\nExecStart=/x\n{key}={value}\n"), Profile::V252);
        assert_eq!(unit.properties().iter().filter(|(known, _)| *known == "Wants").count(), 1);
    }
    let unit = Unit::parse(
        "x.service",
        format!("[Unit]\nAfter={}\n[Service]\nExecStart=/x\n", names(&|index| format!("{index}.service"))),
        Profile::V252,
    );
    assert_eq!(unit.after.len(), 20_000);
    let file = names(&|index| format!("A{index}=1")).replace(' ', "\n");
    let env = parse_environment_file(file.as_bytes());
    assert_eq!(env.len(), 20_000);
    let references = names(&|index| format!("${{A{index}}}"));
    let command = ExecCommand { path: "/x".into(), argv: vec![references], ..ExecCommand::default() };
    assert_eq!(expand(&command, &env)[0].len(), 39_999);

    let command = ExecCommand { path: "/x".into(), argv: vec![repeat("${A}$$$B ")], ..ExecCommand::default() };
    drop(expand(&command, &[("A".to_owned(), "1".to_owned())]));
    drop(parse_environment_file(repeat("A=\"\\").as_bytes()));
    drop(parse_environment_file(repeat("AB=1\n").as_bytes()));
}
