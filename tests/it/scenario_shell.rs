//! What is known of commands without running them, and how paths and ports are mapped in text.

use relapse::mapping::{Mapping, absolute_paths, whole_numbers};
use relapse::scenario::scan;

#[test]
fn redirections_are_seen_through_quotes_and_only_outside_of_them() {
    /// Command, paths written (with a `…` behind those that are known in part).
    const ROWS: &[(&str, &[&str])] = &[
        ("echo > /a", &["/a"]),
        ("echo >/a", &["/a"]),
        ("echo >>/a 2>/b", &["/a", "/b"]),
        ("echo >| /a", &["/a"]),
        ("echo &>/a", &["/a"]),
        ("echo &>>/a", &["/a"]),
        ("echo >&/a", &["/a"]),
        ("echo 1<>/a", &["/a"]),
        ("echo >&2 2>&1 2>&-", &[]),
        ("echo '> /a' \"> /b\" \\> /c", &[]),
        ("echo > '/a b'/c\"d e\"", &["/a b/cd e"]),
        ("echo > /a\\ b", &["/a b"]),
        ("echo > $X/a", &["…"]),
        ("echo > /a/$X/b", &["/a/…"]),
        ("echo > \"/a/${X}\"", &["/a/…"]),
        ("cat < /a", &[]),
        ("cat <<< '> /a'", &[]),
        ("# > /a", &[]),
        ("echo a#b > /c", &["/c"]),
        ("true; echo > /a && echo > /b || (echo > /c) & echo > /d", &["/a", "/b", "/c", "/d"]),
        ("echo | tee /a -i /b > /c", &["/a", "/b", "/c"]),
        ("echo | sudo -n tee -a /a", &["/a"]),
        ("echo | /usr/bin/tee /a", &["/a"]),
        ("echo tee /a", &[]),
        ("flock /a true; flock 9; flock -n -E 75 /b tee /c", &["/a", "/b", "/c"]),
        ("exec flock -w 1.5 /a flock /b -c 'echo > /c'", &["/a", "/b", "/c"]),
        ("if tee /a; then tee /b; fi", &["/a", "/b"]),
        ("cat > /a <<EOF\n> /b\nEOF\necho > /c", &["/a", "/c"]),
        ("cat <<-'E F' > /a\n\t> /b\n\tE F\necho > /c", &["/a", "/c"]),
        ("cat <<A <<B\n> /x\nA\n> /y\nB\necho > /z", &["/z"]),
        ("cat <<EOF\n$(echo > /a)\nEOF\n", &["/a"]),
        ("cat <<'EOF'\n$(echo > /a)\nEOF\n", &[]),
        ("echo $(echo > /a) `echo > /b`", &["/a", "/b"]),
        ("echo \"$(echo \")\" > /a)\"", &["/a"]),
        ("echo '$(echo > /a)'", &[]),
        ("sh -c 'echo > /a'", &["/a"]),
        ("sudo bash -lc \"echo > /a; tee /b\"", &["/a", "/b"]),
        ("sh -c \"sh -c 'echo > /a'\"", &["/a"]),
        ("eval 'echo > /a'", &["/a"]),
        ("sh ./x -c", &[]),
        ("echo >", &[]),
        ("echo > \n/a", &[]),
        ("\\\n> /a", &["/a"]),
        ("diff <(echo > /a) >(cat > /b)", &["/a", "/b"]),
        ("2>/a", &["/a"]),
        ("echo 'open", &[]),
        ("echo \"open $(", &[]),
        ("cat <<EOF", &[]),
    ];
    for (command, wanted) in ROWS {
        let found: Vec<String> = scan(command)
            .targets
            .iter()
            .map(|target| format!("{}{}", target.path, if target.is_whole { "" } else { "…" }))
            .collect();
        assert_eq!(&found, wanted, "{command:?}");
    }
}

#[test]
fn names_are_those_that_the_shell_would_replace() {
    /// Command, names used, names assigned.
    const ROWS: &[(&str, &[&str], &[&str])] = &[
        ("kill $MANUAL", &["MANUAL"], &[]),
        ("kill \"${MANUAL}\"", &["MANUAL"], &[]),
        ("kill '$MANUAL' \\$OTHER", &[], &[]),
        ("echo ${A:-x} $1 $? $$ $lower ${#B}", &["A"], &[]),
        ("A=1 B=$C; echo $A", &["C", "A"], &["A", "B"]),
        ("for P in 1 2; do echo $P; done", &["P"], &["P"]),
        ("read A B; export C=1", &[], &["A", "B", "C"]),
        ("if X=1; then env Y=2 true; fi", &[], &["X", "Y"]),
        ("cat <<EOF\n$A\nEOF", &["A"], &[]),
        ("cat <<'EOF'\n$A\nEOF", &[], &[]),
        ("sh -c 'kill $A'", &["A"], &[]),
        ("echo $(echo $A)", &["A"], &[]),
        ("echo $A_2x", &[], &[]),
    ];
    for (command, names, assigned) in ROWS {
        let scan = scan(command);
        let found: Vec<&str> = scan.names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(&found, names, "{command:?}");
        let found: Vec<&str> = scan.assigned.iter().map(String::as_str).collect();
        assert_eq!(&found, assigned, "{command:?}");
    }
}

#[test]
fn places_of_what_is_found_are_those_in_the_command() {
    for command in ["echo x > /a", "echo $(date > /a)", "echo \"`date > /a`\"", "cat <<E\n$(date > /a)\nE"] {
        let span = scan(command).targets[0].span.clone();
        assert_eq!(&command[span], "/a", "{command:?}");
    }
    let command = "sudo sh -c 'date > /a'";
    assert_eq!(&command[scan(command).targets[0].span.clone()], "'date > /a'");
}

#[test]
fn absolute_paths_begin_where_a_word_begins() {
    const ROWS: &[(&str, &[&str])] = &[
        ("cat /home/a/b.c", &["/home/a/b.c"]),
        ("PATH=/home/a/bin:/usr/bin", &["/home/a/bin", "/usr/bin"]),
        ("cat src/main.py ./run.sh ../x ~/y", &[]),
        ("\"/home/a\" '/home/b' `/bin/c`", &["/home/a", "/home/b", "/bin/c"]),
        ("\"$X\"/home ${X}/home $(pwd)/home", &[]),
        ("curl http://localhost:8000/health/x", &[]),
        ("curl \"http://localhost/home\" /home", &["/home"]),
        ("#!/bin/sh", &["/bin/sh"]),
        (">/a>>/b</c", &["/a", "/b", "/c"]),
        ("{/a,/b}", &["/a", "/b"]),
        ("sed s/home/x/", &[]),
        ("2026/01/16", &[]),
        ("/", &["/"]),
        ("ExecStart=-/home/x", &[]),
        ("--config=/etc/x.toml", &["/etc/x.toml"]),
    ];
    for (text, wanted) in ROWS {
        let found: Vec<&str> = absolute_paths(text).into_iter().map(|span| &text[span]).collect();
        assert_eq!(&found, wanted, "{text:?}");
    }
}

#[test]
fn whole_numbers_are_no_part_of_words_or_fractions() {
    const ROWS: &[(&str, &[&str])] = &[
        ("8000", &["8000"]),
        ("--port 8000 --port=8000 :8000 *:8000", &["8000", "8000", "8000", "8000"]),
        ("127.0.0.1:8000", &["8000"]),
        ("18000 80001 p8000 8000ms _8000 8000_", &["18000", "80001"]),
        ("1.8000 8000.5 8000.", &["8000"]),
        ("('0.0.0.0', 8000): in use", &["8000"]),
        ("é8000 8000é", &[]),
        ("", &[]),
    ];
    for (text, wanted) in ROWS {
        let found: Vec<&str> = whole_numbers(text).into_iter().map(|span| &text[span]).collect();
        assert_eq!(&found, wanted, "{text:?}");
    }
}

fn mapping() -> Mapping {
    let own = ["/etc/systemd", "/run/systemd", "/var/log", "/home", "/opt"];
    Mapping {
        root: "/tmp/relapse-x/root".into(),
        own: own.iter().map(|path| (*path).to_owned()).collect(),
        ports: vec![(8000, 41_234), (3000, 41_235)],
        commands: "/tmp/relapse-x/system".into(),
    }
}

#[test]
fn text_goes_to_the_host_and_back() {
    const ROWS: &[(&str, &str)] = &[
        ("lsof -i :8000", "lsof -i :41234"),
        ("curl -s http://127.0.0.1:8000/home", "curl -s http://127.0.0.1:41234/home"),
        ("cat > /etc/systemd/system/x.service", "cat > /tmp/relapse-x/root/etc/systemd/system/x.service"),
        ("cat /etc/os-release /homer /etc/systemd2", "cat /etc/os-release /homer /etc/systemd2"),
        ("ls /home; ls /home/", "ls /tmp/relapse-x/root/home; ls /tmp/relapse-x/root/home/"),
        ("PATH=/home/a/bin:/usr/bin x 3000 30000", "PATH=/tmp/relapse-x/root/home/a/bin:/usr/bin x 41235 30000"),
        ("grep 'FSM.*' '/opt/app/log'", "grep 'FSM.*' '/tmp/relapse-x/root/opt/app/log'"),
        ("/bin/kill 5; /usr/bin/killer", "/tmp/relapse-x/system/bin/kill 5; /usr/bin/killer"),
        ("#!/bin/sh\n/bin/sh -c x", "#!/bin/sh\n/tmp/relapse-x/system/bin/sh -c x"),
        ("#!/usr/bin/systemctl", "#!/tmp/relapse-x/system/usr/bin/systemctl"),
        ("prose, with ünïcödé and 8000 €", "prose, with ünïcödé and 41234 €"),
    ];
    let mapping = mapping();
    for (incident, host) in ROWS {
        assert_eq!(mapping.to_host(incident), *host);
        assert_eq!(mapping.to_incident(host), *incident);
    }
    // Back alone: what programs print.
    for (host, incident) in [
        ("cwd /tmp/relapse-x/root", "cwd /"),
        ("/tmp/relapse-x/rootless/x", "/tmp/relapse-x/rootless/x"),
        ("('0.0.0.0', 41234): in use", "('0.0.0.0', 8000): in use"),
        ("x:/tmp/relapse-x/root/home/a:y", "x:/home/a:y"),
        ("/tmp/relapse-x/systematic/x", "/tmp/relapse-x/systematic/x"),
    ] {
        assert_eq!(mapping.to_incident(host), incident);
    }
    assert_eq!(Mapping::default().to_host("/home 8000"), "/home 8000");
    assert_eq!(Mapping::default().to_incident("/home 8000"), "/home 8000");
}
