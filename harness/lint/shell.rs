//! The little of the shell's language that `sh -c '…'` in a unit is written in: which commands there are, how they are
//! joined, and which of them a loop repeats or a condition asks. What is beyond that makes the script [`Script::odd`].

/// A word; what the shell would replace (`$x`, `$(…)`, globs) stays as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    /// Whether it means exactly its text.
    pub plain: bool,
}

/// How a command is joined to its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// Nothing there.
    End,
    /// `;`, a newline, or a keyword.
    Then,
    /// `&`.
    Background,
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
}

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// Between `if` and `then`.
    IfCondition,
    /// Behind `then`.
    IfBody,
    /// Behind `else`.
    ElseBody,
    /// Between `while` or `until` and `do`.
    LoopCondition,
    /// Between `do` and `done`.
    LoopBody,
    /// Between `do` and `done` of a `for`.
    ForBody,
}

/// A simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Simple {
    pub words: Vec<Word>,
    /// `!` before it or its pipeline.
    pub negated: bool,
    pub before: Joint,
    pub after: Joint,
    pub role: Role,
    /// Whether any loop is around it, but no `for`.
    pub looped: bool,
    /// Whether it stands in `$(…)` or backquotes.
    pub substituted: bool,
}

impl Simple {
    /// The words' texts.
    pub fn texts(&self) -> Vec<String> {
        self.words.iter().map(|word| word.text.clone()).collect()
    }

    /// The program's name without its directory.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", |word| base(&word.text))
    }
}

/// The last component of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A script's simple commands, in order of their beginnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub commands: Vec<Simple>,
    /// It has what is not understood here: functions, `case`, here-documents, unbalanced quotes.
    pub odd: bool,
}

/// Deeper nests of substitutions are not looked into.
const DEEPEST: u32 = 4;
/// Longer scripts are not looked into.
const LONGEST: usize = 64 * 1024;

impl Script {
    pub(super) fn read(text: &str) -> Script {
        let mut script = Script::default();
        if text.len() > LONGEST {
            script.odd = true;
            return script;
        }
        read(text, 0, &mut script);
        script
    }
}

enum Token {
    Word(Word, Vec<String>),
    Joint(Joint),
    Open,
    Close,
}

/// A part of an `if`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Condition,
    Then,
    Else,
}

/// What is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    If(Part),
    Loop(bool),
    For(bool),
    Group,
}

fn read(text: &str, depth: u32, script: &mut Script) {
    let Some(tokens) = tokens(text) else {
        script.odd = true;
        return;
    };
    let mut blocks: Vec<Block> = Vec::new();
    let mut current: Option<Simple> = None;
    let (mut before, mut negated, mut pipeline_negated) = (Joint::End, false, false);
    // Words after `for` up to `do` are no commands.
    let mut heading = false;
    let mut inner = Vec::new();
    let mut redirected = false;
    for token in tokens {
        match token {
            Token::Word(word, substitutions) => {
                inner.extend(substitutions);
                if heading {
                    if word.text == "do" {
                        heading = false;
                        if let Some(last) = blocks.last_mut() {
                            *last = Block::For(true);
                        }
                    }
                    continue;
                }
                if let Some(simple) = &mut current {
                    if std::mem::take(&mut redirected) {
                        continue;
                    }
                    match redirection(&word.text).filter(|_| word.plain) {
                        Some(takes_word) => redirected = takes_word,
                        None => simple.words.push(word),
                    }
                    continue;
                }
                if word.plain && keyword(&word.text, &mut blocks, &mut heading, script) {
                    if word.text == "!" {
                        negated = true;
                    }
                    continue;
                }
                pipeline_negated = if before == Joint::Pipe { pipeline_negated } else { negated };
                negated = false;
                redirected = false;
                current = Some(Simple {
                    words: vec![word],
                    negated: pipeline_negated,
                    before,
                    after: Joint::End,
                    role: role(&blocks),
                    looped: blocks.iter().any(|block| matches!(block, Block::Loop(_))),
                    substituted: depth > 0,
                });
            }
            Token::Joint(joint) => {
                if let Some(mut simple) = current.take() {
                    simple.after = joint;
                    script.commands.push(simple);
                }
                before = joint;
            }
            Token::Open => {
                // `name()` is a function.
                script.odd |= current.is_some();
                blocks.push(Block::Group);
                before = Joint::Then;
            }
            Token::Close => {
                script.commands.extend(current.take());
                if blocks.pop() != Some(Block::Group) {
                    script.odd = true;
                }
                before = Joint::Then;
            }
        }
    }
    script.commands.extend(current);
    script.odd |= !blocks.is_empty();
    for text in inner {
        if depth + 1 > DEEPEST {
            script.odd = true;
        } else {
            read(&text, depth + 1, script);
        }
    }
}

fn role(blocks: &[Block]) -> Role {
    match blocks.iter().rev().find(|block| **block != Block::Group) {
        None | Some(Block::Group) => Role::Plain,
        Some(Block::If(Part::Condition)) => Role::IfCondition,
        Some(Block::If(Part::Then)) => Role::IfBody,
        Some(Block::If(Part::Else)) => Role::ElseBody,
        Some(Block::Loop(false)) => Role::LoopCondition,
        Some(Block::Loop(true)) => Role::LoopBody,
        Some(Block::For(_)) => Role::ForBody,
    }
}

/// Takes a keyword where a command could begin.
fn keyword(word: &str, blocks: &mut Vec<Block>, heading: &mut bool, script: &mut Script) -> bool {
    let mut turn = |from: Block, to: Option<Block>| {
        if blocks.last() == Some(&from) {
            blocks.pop();
            blocks.extend(to);
        } else {
            script.odd = true;
        }
    };
    match word {
        "!" => {}
        "if" => blocks.push(Block::If(Part::Condition)),
        "then" => turn(Block::If(Part::Condition), Some(Block::If(Part::Then))),
        "elif" => turn(Block::If(Part::Then), Some(Block::If(Part::Condition))),
        "else" => turn(Block::If(Part::Then), Some(Block::If(Part::Else))),
        "fi" => match blocks.pop() {
            Some(Block::If(Part::Then | Part::Else)) => {}
            _ => script.odd = true,
        },
        "while" | "until" => blocks.push(Block::Loop(false)),
        "do" => turn(Block::Loop(false), Some(Block::Loop(true))),
        "done" => match blocks.pop() {
            Some(Block::Loop(true) | Block::For(true)) => {}
            _ => script.odd = true,
        },
        "for" => {
            blocks.push(Block::For(false));
            *heading = true;
        }
        "{" => blocks.push(Block::Group),
        "}" => turn(Block::Group, None),
        "case" | "esac" | "function" | "select" | "[[" => {
            script.odd = true;
            return word == "esac";
        }
        _ => return false,
    }
    true
}

/// Whether a word is a redirection, and takes the next word with it.
fn redirection(word: &str) -> Option<bool> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix('&').unwrap_or(rest);
    let operators = [">>", ">&", "<&", ">|", "<>", ">", "<"];
    let operator = operators.into_iter().find(|operator| rest.starts_with(operator))?;
    Some(rest.len() == operator.len())
}

/// Cuts a text into words and operators; `None` where a quote is not closed, or for a here-document.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let (token, length) = match (c, next) {
            (' ' | '\t', _) => {
                at += 1;
                continue;
            }
            ('#', _) => {
                at += chars[at..].iter().take_while(|c| **c != '\n').count();
                continue;
            }
            ('&', Some('&')) => (Token::Joint(Joint::And), 2),
            ('&', Some('>')) => {
                let (token, end) = word(&chars, at)?;
                (token, end - at)
            }
            ('&', _) => (Token::Joint(Joint::Background), 1),
            ('|', Some('|')) => (Token::Joint(Joint::Or), 2),
            ('|', Some('&')) => (Token::Joint(Joint::Pipe), 2),
            ('|', _) => (Token::Joint(Joint::Pipe), 1),
            (';', Some(';')) => return None,
            (';' | '\n', _) => (Token::Joint(Joint::Then), 1),
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            ('<', Some('<')) => return None,
            _ => {
                let (token, end) = word(&chars, at)?;
                (token, end - at)
            }
        };
        out.push(token);
        at += length.max(1);
    }
    Some(out)
}

/// One word from `at` on, and where it ends.
fn word(chars: &[char], mut at: usize) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut plain = true;
    let mut quoted = false;
    let mut substitutions = Vec::new();
    while let Some(&c) = chars.get(at) {
        match c {
            '\'' if !quoted => {
                let length = chars[at + 1..].iter().position(|c| *c == '\'')?;
                text.extend(&chars[at + 1..at + 1 + length]);
                at += length + 2;
                // A quoted word is no keyword; that it is plain it stays.
                continue;
            }
            '"' => quoted = !quoted,
            '\\' => {
                let next = chars.get(at + 1)?;
                if quoted && !matches!(next, '"' | '\\' | '$' | '`') {
                    text.push('\\');
                }
                text.push(*next);
                at += 1;
            }
            '`' => {
                plain = false;
                let length = chars[at + 1..].iter().position(|c| *c == '`')?;
                substitutions.push(chars[at + 1..at + 1 + length].iter().collect());
                text.extend(&chars[at..at + length + 2]);
                at += length + 1;
            }
            '$' if chars.get(at + 1) == Some(&'(') => {
                plain = false;
                let end = closing(chars, at + 1)?;
                if chars.get(at + 2) != Some(&'(') {
                    substitutions.push(chars[at + 2..end].iter().collect());
                }
                text.extend(&chars[at..=end]);
                at = end;
            }
            '$' => {
                plain = false;
                text.push(c);
            }
            ' ' | '\t' | '\n' | ';' | '|' | '(' | ')' if !quoted => break,
            '&' if !quoted => {
                // `2>&1` and `&>` are redirections.
                let redirects = text.ends_with(['>', '<']) || (text.is_empty() && chars.get(at + 1) == Some(&'>'));
                if !redirects {
                    break;
                }
                text.push(c);
            }
            '*' | '?' | '[' if !quoted => {
                plain &= c == '[' && (text.is_empty() && matches!(chars.get(at + 1), Some(' ' | '[')));
                text.push(c);
            }
            c => text.push(c),
        }
        at += 1;
    }
    (!quoted).then_some((Token::Word(Word { text, plain }, substitutions), at))
}

/// The parenthesis that closes the one at `open`.
fn closing(chars: &[char], open: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0usize, None);
    let mut at = open;
    while let Some(&c) = chars.get(at) {
        match (c, quote) {
            ('\\', Some('"') | None) => at += 1,
            (c, Some(q)) if c == q => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
