//! The scenario library as documentation, and its index.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All pages, by their path below `scenarios/`.
pub fn pages() -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![root()]);
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).expect("a directory").flatten().map(|entry| entry.path()) {
            let name = path.strip_prefix(root()).expect("below").to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".md") && name != "README.md" {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// What a renderer makes of a page.
struct Rendered {
    headings: Vec<(HeadingLevel, String)>,
    /// Paragraphs before the first H2.
    introduction: Vec<String>,
    prose: String,
    /// The first words of code blocks.
    fences: Vec<String>,
    links: Vec<String>,
    html: String,
}

fn render(text: &str) -> Rendered {
    let mut page = Rendered {
        headings: Vec::new(),
        introduction: Vec::new(),
        prose: String::new(),
        fences: Vec::new(),
        links: Vec::new(),
        html: String::new(),
    };
    html::push_html(&mut page.html, Parser::new_ext(text, Options::ENABLE_TABLES));
    let (mut words, mut in_code) = (String::new(), false);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                in_code = true;
                if let CodeBlockKind::Fenced(info) = kind {
                    page.fences.push(info.split_whitespace().next().unwrap_or_default().to_owned());
                }
            }
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.into_string()),
            Event::Start(Tag::Paragraph | Tag::Heading { .. }) => words.clear(),
            Event::End(TagEnd::Heading(level)) => page.headings.push((level, words.clone())),
            Event::End(TagEnd::Paragraph) => {
                if page.headings.len() == 1 {
                    page.introduction.push(words.clone());
                }
                page.prose.push_str(&words);
                page.prose.push('\n');
            }
            Event::Text(text) | Event::Code(text) if !in_code => words.push_str(&text),
            Event::SoftBreak | Event::HardBreak => words.push(' '),
            _ => {}
        }
    }
    page
}

/// Words of the harness that no operator has to know.
const JARGON: &[&str] = &[
    "stand-in",
    "lock-step",
    "lockstep",
    "shim",
    "harness",
    "timeline",
    "virtual clock",
    "incident time",
    "this scenario",
    "the scenario",
];

#[test]
fn every_page_renders_as_one_with_a_title_an_introduction_and_closed_blocks() {
    for name in pages() {
        let text = fs::read_to_string(root().join(&name)).expect("a page");
        let page = render(&text);
        let titles = page.headings.iter().filter(|(level, _)| *level == HeadingLevel::H1).count();
        assert_eq!(titles, 1, "{name}: one title");
        assert_eq!(page.headings[0].0, HeadingLevel::H1, "{name}: the title comes first");
        assert!(!page.introduction.is_empty(), "{name}: says nothing before its first heading");
        let marks = text.lines().filter(|line| line.starts_with("```")).count();
        assert_eq!(marks, 2 * page.fences.len(), "{name}: every block is opened and closed at the margin");
        let known = ["toml", "ini", "sh", "console", "expect", "python"];
        for fence in &page.fences {
            assert!(known.contains(&fence.as_str()), "{name}: ```{fence}");
        }
        assert_eq!(page.html.matches("<pre>").count(), page.fences.len(), "{name}: blocks");
        assert!(!page.html.contains("<p>```") && !page.html.contains("<p>$ "), "{name}: a block is read as prose");
        let told = page.prose.to_lowercase();
        for word in JARGON {
            assert!(!told.contains(word), "{name}: `{word}` is no operator's word");
        }
    }
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let mut checked = 0;
    for name in pages().into_iter().chain(["README.md".to_owned()]) {
        let file = root().join(&name);
        let text = fs::read_to_string(&file).expect("a page");
        let anchors: BTreeSet<String> = render(&text).headings.iter().map(|(_, heading)| anchor(heading)).collect();
        for link in render(&text).links {
            if link.starts_with("https://") {
                continue;
            }
            checked += 1;
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = file.parent().expect("a directory").join(path);
            assert!(path.is_empty() || target.exists(), "{name}: {link}");
            assert!(!path.is_empty() || anchors.contains(fragment), "{name}: {link}");
        }
    }
    assert!(checked > 10, "{checked} links");
}

/// What viewers call a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_index_has_a_row_for_every_page_and_none_for_what_is_gone() {
    let text = fs::read_to_string(root().join("README.md")).expect("the index");
    let index = text.split("relapse run --index: ").nth(1).expect("between two marks");
    let mut rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
    for name in pages() {
        let its = |row: &&str| row.contains(&format!("]({name})"));
        assert_eq!(rows.iter().filter(|row| its(row)).count(), 1, "{name}");
        rows.retain(|row| !its(row));
    }
    assert_eq!(rows, Vec::<&str>::new(), "rows of pages that are gone");
}

#[test]
fn the_readme_shows_rows_of_the_index_as_they_are() {
    let index = fs::read_to_string(root().join("README.md")).expect("the index");
    let readme = fs::read_to_string(root().with_file_name("README.md")).expect("the readme");
    let shown: Vec<String> =
        readme.lines().filter(|line| line.starts_with("| [")).map(|line| line.replace("](scenarios/", "](")).collect();
    assert!(shown.len() >= 5, "{} rows", shown.len());
    for row in shown {
        assert!(index.lines().any(|line| line == row), "not, or no longer, in scenarios/README.md: {row}");
    }
    let count = format!("The library has {} pages", pages().len());
    assert!(readme.contains(&count), "expected in README.md: {count}");
}
