//! Console outputs: what matches, what it binds, how a difference is shown, and what `--update` writes.

use relapse::expect::Source;
use relapse::scenario::{Bindings, Command, Scenario, compare, update};

/// A scenario with one command and the output given.
fn document(output: &str) -> String {
    format!(
        "# T\n\n```toml scenario\nkind = \"behaviour\"\n```\n\n```ini unit=a.service\n```\n\n```console\n$ cmd\n{output}```\n\n\
         ```console\n$ echo $A $B $PID\n```\n\n```expect\nat least 1 start\n```\n"
    )
}

fn command(output: &str) -> Command {
    // Names that the document does not bind are assigned by a first command.
    let text = document(output).replacen("$ cmd\n", "$ A=1 B=2 PID=3\n$ cmd\n", 1);
    let scenario = Scenario::parse("t.md", &text).unwrap_or_else(|error| panic!("{error}"));
    scenario.consoles().next().expect("a console").commands[1].clone()
}

fn bindings(pairs: &[(&str, &str)]) -> Bindings {
    pairs.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
}

#[test]
fn outputs_match_whole_but_for_elisions_and_names() {
    /// Expected lines, actual output, what is bound before; what is bound in addition, or no match.
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Option<&'a [(&'a str, &'a str)]>);
    let rows: &[Row<'_>] = &[
        ("", "", &[], Some(&[])),
        ("", "\n\n", &[], Some(&[])),
        ("", "x\n", &[], None),
        ("active\n", "active\n", &[], Some(&[])),
        ("active\n", "active", &[], Some(&[])),
        ("active\n", "active  \r\n", &[], Some(&[])),
        ("active\n", " active\n", &[], None),
        ("active\n", "", &[], None),
        ("active\n", "active\nactive\n", &[], None),
        ("a\n\nb\n", "a\n\nb\n", &[], Some(&[])),
        ("a\n\nb\n", "a\nb\n", &[], None),
        // Elided lines.
        ("...\n", "", &[], Some(&[])),
        ("...\n", "a\nb\n", &[], Some(&[])),
        ("...\nb\n", "a\nb\n", &[], Some(&[])),
        ("...\nb\n", "b\n", &[], Some(&[])),
        ("...\nb\n", "b\na\n", &[], None),
        ("a\n...\n", "a\n", &[], Some(&[])),
        ("a\n...\n", "b\na\n", &[], None),
        ("a\n...\nb\n", "a\nx\nb\ny\nb\n", &[], Some(&[])),
        ("a\n...\na\n", "a\n", &[], None),
        ("...\nb\n...\nd\n", "a\nb\nc\nd\n", &[], Some(&[])),
        ("...\nd\n...\nb\n...\n", "a\nb\nc\nd\n", &[], None),
        ("...\n...\n", "a\n", &[], Some(&[])),
        // Elided parts of lines.
        ("Main PID: [..] (python)\n", "Main PID: 119 (python)\n", &[], Some(&[])),
        ("Main PID: [..] (python)\n", "Main PID: 119 (node)\n", &[], None),
        ("[..]\n", "anything at all\n", &[], Some(&[])),
        ("[..]\n", "one\ntwo\n", &[], None),
        ("a[..]\n", "a\n", &[], Some(&[])),
        ("[Errno 98] [..]\n", "[Errno 98] in use\n", &[], Some(&[])),
        // What looks like a regular expression is text.
        ("a.c (x)* [..]\n", "abc (x)* d\n", &[], None),
        ("a.c (x)* [..]\n", "a.c (x)* d\n", &[], Some(&[])),
        // Names.
        ("[PID]\n", "119\n", &[], Some(&[("PID", "119")])),
        ("[PID]\n", "119 120\n", &[], None),
        ("[PID]\n", "\n", &[], None),
        ("pid=[PID],\n", "pid=119,\n", &[], Some(&[("PID", "119")])),
        ("[PID]\n[PID]\n", "119\n119\n", &[], Some(&[("PID", "119")])),
        ("[PID]\n[PID]\n", "119\n120\n", &[], None),
        ("[PID] [PID]\n", "7 7\n", &[], Some(&[("PID", "7")])),
        ("[PID] [PID]\n", "7 8\n", &[], None),
        ("[PID]\n", "119\n", &[("PID", "119")], Some(&[])),
        ("[PID]\n", "120\n", &[("PID", "119")], None),
        ("[A][B]\n", "onetwo\n", &[("A", "one")], Some(&[("B", "two")])),
        ("[A]:[B]\n", "a:b:c\n", &[("A", "a")], Some(&[("B", "b:c")])),
        ("...\nport [A]\n...\nport [A]\n", "port 1\nport 2\nport 1\n", &[], Some(&[("A", "1")])),
        ("python[119]: [..]\n", "python[119]: up\n", &[], Some(&[])),
    ];
    for (expected, actual, bound, wanted) in rows {
        let found = compare(&command(expected).output, actual, &bindings(bound));
        let wanted = wanted.map(bindings);
        assert_eq!(found.ok(), wanted, "{expected:?} against {actual:?}");
    }
}

#[test]
fn a_difference_is_shown_line_by_line() {
    let command = command("● a.service\n...\n   Main PID: [PID] (python)\n   Active: active\n\nlast\n");
    let actual =
        "● a.service\n  Loaded: yes\n   Main PID: 119 (python)\n   Active: failed\n     since then\n\nlast\nmore\n";
    let mismatch = compare(&command.output, actual, &Bindings::new()).expect_err("they differ");
    insta::assert_snapshot!(mismatch.diff, @"
    ● a.service
    ...
       Main PID: [PID] (python)
   -   Active: active
   +   Active: failed
   +     since then
    
    last
   +more
   ");
}

#[test]
fn an_update_rewrites_outputs_only_and_keeps_what_still_matches() {
    /// Output in the document, output now, output in the new document.
    const ROWS: &[(&str, &str, &str)] = &[
        ("same\n", "same\n", "same\n"),
        ("...\n", "x\n", "...\n"),
        ("old\n", "new\n", "new\n"),
        ("", "new\n", "new\n"),
        ("old\n", "", ""),
        ("a\n...\nold\n[PID]\n", "a\nb\nnew\n7\n", "a\nb\nnew\n[PID]\n"),
        ("a\n...\nz\nold\n", "a\nb\nc\nz\nnew\n", "a\n...\nz\nnew\n"),
        ("Active: [..] since\nold\n", "Active: yes since\nnew\n", "Active: [..] since\nnew\n"),
        ("old\n? 3\n", "new\n", "new\n? 3\n"),
        // What would not be read as output again is written so that it matches.
        ("old\n", "$ x\n? 3\n> y\n...\n[INFO] up\n", "[..] x\n[..] 3\n[..] y\n[..]\n[..] up\n"),
        ("old\n", "```\n  ~~~\n", "[..]\n  [..]\n"),
        ("old\n", "[..] as it is\n", "[..] as it is\n"),
    ];
    for (before, now, after) in ROWS {
        let text = document(before).replacen("$ cmd\n", "$ A=1 B=2 PID=3\n$ cmd\n", 1);
        let scenario = Scenario::parse("t.md", &text).unwrap_or_else(|error| panic!("{error}"));
        let command = &scenario.consoles().next().expect("a console").commands[1];
        let bound = Bindings::new();
        let updated = update(&scenario.source, &[(command, now, &bound)]);
        let wanted = document(after).replacen("$ cmd\n", "$ A=1 B=2 PID=3\n$ cmd\n", 1);
        assert_eq!(updated, wanted, "{before:?} with {now:?}");
        let again = Scenario::parse("t.md", &updated).unwrap_or_else(|error| panic!("{error}"));
        let command = &again.consoles().next().expect("a console").commands[1];
        assert!(compare(&command.output, now, &bound).is_ok(), "{before:?} with {now:?} matches afterwards");
    }
}

#[test]
fn an_update_leaves_other_documents_alone() {
    let command = command("old\n");
    let other = Source::new("other.md", "# Other\n");
    assert_eq!(update(&other, &[(&command, "new\n", &Bindings::new())]), "# Other\n");
}

#[test]
fn continuation_lines_are_part_of_the_command() {
    let text = document("").replacen(
        "$ cmd\n",
        "$ A=1 B=2 PID=3\n$ cat > /etc/systemd/system/x.service <<EOF\n> [Service]\n>\n> EOF\nout\n> not typed\n",
        1,
    );
    let scenario = Scenario::parse("t.md", &text).unwrap_or_else(|error| panic!("{error}"));
    let command = &scenario.consoles().next().expect("a console").commands[1];
    assert_eq!(command.text, "cat > /etc/systemd/system/x.service <<EOF\n[Service]\n\nEOF");
    let output: Vec<&str> = command.output.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(output, ["out", "> not typed"]);
}
