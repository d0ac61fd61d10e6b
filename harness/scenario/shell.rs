//! What can be known of a shell command without running it: where it writes, and which names it uses.
//!
//! This reads the shell's quoting (sh(1), "Quoting", "Redirection", "Here-Document") and nothing else of it:
//! enough to see a redirection and not to take one for another in quotes.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::expect::is_var_name;

/// How deep substitutions and `sh -c` are followed.
const DEEPEST: usize = 8;

/// Words after which the command proper begins.
const WRAPPERS: &[&str] = &[
    "sudo", "env", "nohup", "exec", "command", "builtin", "time", "nice", "timeout", "setsid", "xargs", "if", "then",
    "else", "elif", "do", "while", "until", "!", "{",
];

/// What was found in a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Files it writes by redirection or `tee`, or locks by `flock`, which makes them.
    pub targets: Vec<Target>,
    /// `$NAME` and `${NAME}` where the shell would replace them.
    pub names: Vec<(String, Range<usize>)>,
    /// Names that it sets itself.
    pub assigned: BTreeSet<String>,
}

/// A file that a command writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its path, up to the first substitution.
    pub path: String,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// The word in the command.
    pub span: Range<usize>,
}

/// A text that is a command, and where it stands.
struct Piece {
    text: String,
    /// The range in the outermost text that anything found here is reported at; `None` if offsets are the same but for `start`.
    span: Option<Range<usize>>,
    start: usize,
    depth: usize,
}

/// A word as the shell would see it.
struct Word {
    /// Its value up to the first substitution.
    value: String,
    is_whole: bool,
    is_quoted: bool,
    span: Range<usize>,
}

/// Reads a command line (or a script) without running it.
pub fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut pieces = vec![Piece { text: text.to_owned(), span: None, start: 0, depth: 0 }];
    while let Some(piece) = pieces.pop() {
        let mut reader = Reader { piece: &piece, at: 0, scan: &mut scan, pieces: Vec::new() };
        reader.commands();
        let found = reader.pieces;
        pieces.extend(found.into_iter().filter(|piece| piece.depth <= DEEPEST));
    }
    scan.targets.sort_by_key(|target| target.span.start);
    scan.names.sort_by_key(|(_, span)| span.start);
    scan
}

struct Reader<'a> {
    piece: &'a Piece,
    at: usize,
    scan: &'a mut Scan,
    pieces: Vec<Piece>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.piece.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// The place of a range of this piece in the outermost text.
    fn place(&self, range: Range<usize>) -> Range<usize> {
        match &self.piece.span {
            Some(span) => span.clone(),
            None => self.piece.start + range.start..self.piece.start + range.end,
        }
    }

    fn nested(&mut self, range: Range<usize>) {
        let text = self.piece.text.get(range.clone()).unwrap_or_default().to_owned();
        let piece = Piece {
            text,
            span: self.piece.span.clone(),
            start: self.piece.start + range.start,
            depth: self.piece.depth + 1,
        };
        self.pieces.push(piece);
    }

    /// Reads the whole piece, command by command.
    fn commands(&mut self) {
        let mut argv: Vec<Word> = Vec::new();
        let mut documents: Vec<(String, bool, bool)> = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.bump();
                    self.command(&std::mem::take(&mut argv));
                    for (end, strip, is_quoted) in std::mem::take(&mut documents) {
                        self.document(&end, strip, is_quoted);
                    }
                }
                c if c.is_whitespace() => {
                    self.bump();
                }
                '\\' if self.rest().starts_with("\\\n") => {
                    self.at += 2;
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '&' if self.rest().starts_with("&>") => {
                    self.at += 2;
                    self.eat(">");
                    self.target();
                }
                ';' | '&' | '|' | '(' | ')' => {
                    self.bump();
                    self.command(&std::mem::take(&mut argv));
                }
                '<' => self.input(&mut documents),
                '>' => {
                    self.bump();
                    if self.eat("&") {
                        // `>&2` and `>&-` name no file.
                        if !self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                            self.target();
                        }
                    } else {
                        let _ = self.eat(">") || self.eat("|");
                        self.target();
                    }
                }
                _ => {
                    let word = self.word();
                    let is_descriptor = !word.is_quoted
                        && word.value.bytes().all(|b| b.is_ascii_digit())
                        && self.rest().starts_with(['<', '>']);
                    if !is_descriptor {
                        argv.push(word);
                    }
                }
            }
        }
        self.command(&argv);
    }

    /// Reads `<` and what follows it.
    fn input(&mut self, documents: &mut Vec<(String, bool, bool)>) {
        self.bump();
        if self.eat("<<") {
            self.skip_blanks();
            self.word();
        } else if self.eat("<") {
            let strip = self.eat("-");
            self.skip_blanks();
            let word = self.word();
            documents.push((word.value, strip, word.is_quoted));
        } else if self.eat(">") {
            self.target();
        } else if !self.rest().starts_with('(') {
            self.eat("&");
            self.skip_blanks();
            self.word();
        }
    }

    /// Reads the body of a here-document, up to the line that ends it.
    fn document(&mut self, end: &str, strip: bool, is_quoted: bool) {
        while self.at < self.piece.text.len() {
            let start = self.at;
            let length = self.rest().find('\n').unwrap_or(self.rest().len());
            let line = self.piece.text.get(start..start + length).unwrap_or_default();
            let line = if strip { line.trim_start_matches('\t') } else { line };
            let is_end = line == end;
            if !is_quoted && !is_end {
                // Only substitutions are read in here; quotes and operators are text.
                while self.at < start + length {
                    match self.bump() {
                        Some('\\') => {
                            self.bump();
                        }
                        Some('$') => self.dollar(),
                        Some('`') => self.backquote(),
                        _ => {}
                    }
                }
            }
            self.at = self.at.max(start + length);
            self.eat("\n");
            if is_end {
                return;
            }
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| c.is_whitespace() && c != '\n') {
            self.bump();
        }
    }

    fn target(&mut self) {
        self.skip_blanks();
        if self.rest().starts_with(['(', '\n']) || self.rest().is_empty() {
            return;
        }
        let word = self.word();
        self.write(&word);
    }

    fn write(&mut self, word: &Word) {
        let target = Target { path: word.value.clone(), is_whole: word.is_whole, span: self.place(word.span.clone()) };
        self.scan.targets.push(target);
    }

    /// Reads a word, up to a blank or an operator outside of quotes. Always reads something.
    fn word(&mut self) -> Word {
        let start = self.at;
        let mut word = Word { value: String::new(), is_whole: true, is_quoted: false, span: start..start };
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>') => break,
                '\'' => {
                    word.is_quoted = true;
                    self.bump();
                    let length = self.rest().find('\'').unwrap_or(self.rest().len());
                    word.add(self.piece.text.get(self.at..self.at + length).unwrap_or_default());
                    self.at += length;
                    self.eat("'");
                }
                '"' => {
                    word.is_quoted = true;
                    self.bump();
                    self.double_quoted(&mut word);
                }
                '\\' => {
                    word.is_quoted = true;
                    self.bump();
                    match self.bump() {
                        Some('\n') | None => {}
                        Some(c) => word.add(c.encode_utf8(&mut [0; 4])),
                    }
                }
                '$' => {
                    word.is_whole = false;
                    self.bump();
                    self.dollar();
                }
                '`' => {
                    word.is_whole = false;
                    self.bump();
                    self.backquote();
                }
                c => {
                    self.bump();
                    word.add(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        if self.at == start {
            self.bump();
        }
        word.span.end = self.at;
        word
    }

    fn double_quoted(&mut self, word: &mut Word) {
        while let Some(c) = self.bump() {
            match c {
                '"' => return,
                '\\' => match self.bump() {
                    Some('\n') | None => {}
                    Some(c @ ('$' | '`' | '"' | '\\')) => word.add(c.encode_utf8(&mut [0; 4])),
                    Some(c) => {
                        word.add("\\");
                        word.add(c.encode_utf8(&mut [0; 4]));
                    }
                },
                '$' => {
                    word.is_whole = false;
                    self.dollar();
                }
                '`' => {
                    word.is_whole = false;
                    self.backquote();
                }
                c => word.add(c.encode_utf8(&mut [0; 4])),
            }
        }
    }

    /// Reads what follows a `$`.
    fn dollar(&mut self) {
        if self.eat("(") {
            let start = self.at;
            self.skip_to('(', ')');
            self.nested(start..self.at);
            self.eat(")");
        } else if self.eat("{") {
            let start = self.at;
            self.skip_to('{', '}');
            let inside = self.piece.text.get(start..self.at).unwrap_or_default();
            let length = name_length(inside);
            self.name(start..start + length);
            self.eat("}");
        } else {
            let length = name_length(self.rest());
            self.name(self.at..self.at + length);
            self.at += length;
        }
    }

    fn name(&mut self, range: Range<usize>) {
        let name = self.piece.text.get(range.clone()).unwrap_or_default();
        if is_var_name(name) {
            let found = (name.to_owned(), self.place(range.start.saturating_sub(1)..range.end));
            self.scan.names.push(found);
        }
    }

    fn backquote(&mut self) {
        let start = self.at;
        while let Some(c) = self.peek() {
            if c == '`' {
                break;
            }
            self.bump();
            if c == '\\' {
                self.bump();
            }
        }
        self.nested(start..self.at);
        self.eat("`");
    }

    /// Goes to the bracket that closes the one just read, over quotes.
    fn skip_to(&mut self, open: char, close: char) {
        let mut depth = 0_usize;
        let mut quote: Option<char> = None;
        while let Some(c) = self.peek() {
            match (quote, c) {
                (Some('\''), '\'') | (Some('"'), '"') => quote = None,
                (Some('\''), _) => {}
                (_, '\\') => {
                    self.bump();
                }
                (None, '\'' | '"') => quote = Some(c),
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => {
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                }
                _ => {}
            }
            self.bump();
        }
    }

    /// Looks at a whole simple command, and at those that `flock` is to run, one within the other.
    fn command(&mut self, mut argv: &[Word]) {
        let mut scanned = false;
        while let Some(inner) = self.simple(argv, &mut scanned) {
            argv = inner;
        }
    }

    /// What a command assigns, what `tee` and `flock` write, what `sh -c` runs. The command that `flock` runs, if it is that.
    fn simple<'w>(&mut self, argv: &'w [Word], scanned: &mut bool) -> Option<&'w [Word]> {
        let is_assignment = |word: &&Word| assigned_name(&word.value).is_some();
        for word in argv.iter().take_while(is_assignment) {
            self.scan.assigned.extend(assigned_name(&word.value).map(str::to_owned));
        }
        let argv = &argv[argv.iter().take_while(is_assignment).count()..];
        let first = argv.first().map(|word| word.value.as_str())?;
        match first {
            "for" => self.scan.assigned.extend(argv.get(1).map(|word| word.value.clone())),
            "read" | "export" | "local" | "readonly" | "getopts" => {
                for word in &argv[1..] {
                    let name = assigned_name(&word.value).unwrap_or(&word.value);
                    self.scan.assigned.insert(name.to_owned());
                }
            }
            _ => {}
        }
        let is_wrapped = WRAPPERS.contains(&first);
        let program = |word: &Word| word.value.rsplit('/').next().unwrap_or_default().to_owned();
        let is_ours =
            |word: &&Word| matches!(program(word).as_str(), "tee" | "flock" | "sh" | "bash" | "dash" | "eval");
        let candidates = if is_wrapped { argv.len() } else { 1 };
        // An assignment behind `env` or `sudo`, or behind a keyword of the shell.
        for word in argv.iter().take(candidates).filter(|_| !*scanned) {
            self.scan.assigned.extend(assigned_name(&word.value).map(str::to_owned));
        }
        // Once is enough for all that is behind a wrapper.
        *scanned |= is_wrapped;
        let index = argv.iter().take(candidates).position(|word| is_ours(&word))?;
        let arguments = &argv[index + 1..];
        match program(&argv[index]).as_str() {
            "tee" => arguments.iter().filter(|word| !word.value.starts_with('-')).for_each(|word| self.write(word)),
            "eval" => arguments.iter().for_each(|word| self.inner(word)),
            "flock" => {
                // The values of its options are numbers, and a descriptor stands alone.
                let is_option = |word: &&Word| {
                    word.value.starts_with('-') || word.value.chars().all(|c| c.is_ascii_digit() || c == '.')
                };
                let operands = &arguments[arguments.iter().take_while(is_option).count()..];
                let (file, command) = operands.split_first()?;
                self.write(file);
                match command {
                    [flag, commands] if flag.value == "-c" => self.inner(commands),
                    command => return Some(command),
                }
            }
            _ => {
                let has_c = |word: &Word| {
                    word.value.starts_with('-') && !word.value.starts_with("--") && word.value.ends_with('c')
                };
                if let Some(flag) = arguments.iter().position(has_c)
                    && let Some(script) = arguments.get(flag + 1)
                {
                    self.inner(script);
                }
            }
        }
        None
    }

    /// The value of a word is a command itself.
    fn inner(&mut self, word: &Word) {
        let span = Some(self.place(word.span.clone()));
        self.pieces.push(Piece { text: word.value.clone(), span, start: 0, depth: self.piece.depth + 1 });
    }
}

impl Word {
    /// Adds to the value while it is known.
    fn add(&mut self, text: &str) {
        if self.is_whole {
            self.value.push_str(text);
        }
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// The name in `NAME=value`.
fn assigned_name(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    is_name.then_some(name)
}

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// Whether a block in this language is a shell's to read.
pub(super) fn is_language(name: &str) -> bool {
    name == "shell" || SHELLS.contains(&name)
}

/// Whether the first line of a file names a shell as its interpreter.
pub(super) fn is_script(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.starts_with("#!") && first.split(['/', ' ']).any(|word| SHELLS.contains(&word.trim()))
}
