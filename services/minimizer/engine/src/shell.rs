//! What a shell script runs, read conservatively.
//!
//! Words are taken from everywhere in the script, not only from where commands stand: a word that names a
//! program counts as run. What that cannot cover, a command that is computed, is told as an obstacle.

use std::collections::BTreeSet;

/// Most bytes of a script that are read.
pub(crate) const SCRIPT_LIMIT: u64 = 1 << 20;

/// What was read from a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// Every literal word, quotes taken away.
    pub words: BTreeSet<String>,
    /// Why its commands cannot be told, with the line.
    pub obstacles: Vec<String>,
}

/// Programs that read a script of a shell language.
pub(crate) fn is_shell(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    matches!(
        name,
        "sh" | "bash" | "dash" | "ash" | "busybox" | "ksh" | "mksh" | "zsh"
    )
}

/// Words before which a new command begins.
const BEFORE_COMMAND: [&str; 12] = [
    "if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "coproc", "(",
];

/// Commands whose next word is a command again.
const RUNS_NEXT: [&str; 6] = ["exec", "command", "builtin", "nohup", "env", "xargs"];

/// A piece of a script's line.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word: its literal text, and whether a part of it is computed.
    Word { text: String, computed: bool },
    /// What ends a command: `;`, `|`, `&`, a line's end, `(`, `)`.
    Separator,
    /// What is followed by a file: `<`, `>`.
    Redirection,
}

/// Reads a script.
pub(crate) fn read(text: &str) -> Script {
    let mut script = Script::default();
    read_into(text, &mut script, 0);
    script
}

fn read_into(text: &str, script: &mut Script, depth: usize) {
    if depth > 8 {
        script
            .obstacles
            .push("nests command substitutions more than 8 deep".to_owned());
        return;
    }
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        heredocs: Vec::new(),
        inner: Vec::new(),
    };
    let mut command_next = true;
    let mut in_case_word = false;
    while let Some(token) = lexer.next_token() {
        let (word, computed) = match token {
            Token::Separator => {
                command_next = true;
                continue;
            }
            Token::Redirection => {
                // The file's name is the next word, and the command's word is still to come.
                if let Some(Token::Word { text, .. }) = lexer.next_token() {
                    add_words(&text, script);
                }
                continue;
            }
            Token::Word { text, computed } => (text, computed),
        };
        add_words(&word, script);
        if !command_next {
            continue;
        }
        let line = lexer.line;
        if is_assignment(&word) || BEFORE_COMMAND.contains(&word.as_str()) {
            continue;
        }
        match word.as_str() {
            "case" | "for" | "select" | "function" | "[[" => {
                command_next = false;
                in_case_word = word == "case";
                continue;
            }
            "in" if in_case_word => {
                in_case_word = false;
                continue;
            }
            "eval" => script
                .obstacles
                .push(format!("line {line} runs what it computes: eval")),
            // What is passed to a script is part of its own command line, which is looked at by itself.
            "$@" | "$*" => {}
            _ if RUNS_NEXT.contains(&word.as_str()) => continue,
            "." | "source" => {
                if let Some(Token::Word { text, computed }) = lexer.next_token() {
                    if computed {
                        script.obstacles.push(format!(
                            "line {line} reads a script of computed name: {text}"
                        ));
                    }
                    add_words(&text, script);
                }
            }
            _ if computed => script.obstacles.push(format!(
                "line {line} runs a program of computed name: {word}"
            )),
            // Options of `exec -a name`, `env -i`, `xargs -0` come before the command.
            _ if word.starts_with('-') => continue,
            _ => {}
        }
        command_next = false;
    }
    for inner in std::mem::take(&mut lexer.inner) {
        read_into(&inner, script, depth + 1);
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        let name = name.split('[').next().unwrap_or(name);
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// A quoted text may hold a command line itself (`sh -c '…'`, `trap '…'`): its words count too.
fn add_words(text: &str, script: &mut Script) {
    if !text.is_empty() {
        script.words.insert(text.to_owned());
    }
    let separators = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ';' | '|' | '&' | '(' | ')' | '=' | '"' | '\'' | '`' | '{' | '}' | ':' | ','
            )
    };
    for part in text.split(separators) {
        if !part.is_empty() {
            script.words.insert(part.to_owned());
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    /// Ends of here-documents that begin after this line, and whether their leading tabs are dropped.
    heredocs: Vec<(String, bool)>,
    /// Texts of command substitutions, to be read as scripts of their own.
    inner: Vec<String>,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn next_token(&mut self) -> Option<Token> {
        loop {
            match self.peek()? {
                ' ' | '\t' | '\r' => {
                    self.take();
                }
                '\\' if self.chars.get(self.at + 1) == Some(&'\n') => {
                    self.take();
                    self.take();
                }
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.take();
                    }
                }
                '\n' => {
                    self.take();
                    self.skip_heredocs();
                    return Some(Token::Separator);
                }
                ';' | '|' | '&' | '(' | ')' => {
                    self.take();
                    return Some(Token::Separator);
                }
                '<' | '>' => return Some(self.redirection()),
                _ => return Some(self.word()),
            }
        }
    }

    fn redirection(&mut self) -> Token {
        let first = self.take();
        if first == Some('<') && self.peek() == Some('<') {
            self.take();
            if self.peek() == Some('<') {
                self.take();
                return Token::Redirection;
            }
            let tabs = self.peek() == Some('-');
            if tabs {
                self.take();
            }
            while matches!(self.peek(), Some(' ' | '\t')) {
                self.take();
            }
            if let Token::Word { text, .. } = self.word() {
                self.heredocs.push((text, tabs));
            }
            return Token::Word {
                text: String::new(),
                computed: false,
            };
        }
        while matches!(self.peek(), Some('<' | '>' | '&' | '|')) {
            self.take();
        }
        // `<(command)` and `>(command)`
        if self.peek() == Some('(') {
            return Token::Separator;
        }
        Token::Redirection
    }

    /// Skips the bodies of here-documents; commands substituted in them count.
    fn skip_heredocs(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.heredocs) {
            let mut body = String::new();
            while self.at < self.chars.len() {
                let mut line = String::new();
                while let Some(c) = self.take() {
                    if c == '\n' {
                        break;
                    }
                    line.push(c);
                }
                let shown = if tabs {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if shown == end {
                    break;
                }
                body.push_str(&line);
                body.push('\n');
            }
            let mut lexer = Lexer {
                chars: body.chars().collect(),
                at: 0,
                line: self.line,
                heredocs: Vec::new(),
                inner: Vec::new(),
            };
            while let Some(c) = lexer.take() {
                lexer.expansion(c, &mut String::new());
            }
            self.inner.append(&mut lexer.inner);
        }
    }

    fn word(&mut self) -> Token {
        let mut text = String::new();
        let mut computed = false;
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '|' | '&' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    self.take();
                    match self.take() {
                        Some('\n') | None => {}
                        Some(c) => text.push(c),
                    }
                }
                '\'' => {
                    self.take();
                    while let Some(c) = self.take() {
                        if c == '\'' {
                            break;
                        }
                        text.push(c);
                    }
                }
                '"' => {
                    self.take();
                    while let Some(c) = self.take() {
                        match c {
                            '"' => break,
                            '\\' => {
                                if let Some(c) = self.take().filter(|c| *c != '\n') {
                                    text.push(c);
                                }
                            }
                            c => computed |= self.expansion(c, &mut text),
                        }
                    }
                }
                _ => {
                    self.take();
                    computed |= self.expansion(c, &mut text);
                }
            }
        }
        if text.is_empty() && self.peek().is_some_and(|c| c == '\0') {
            self.take();
        }
        Token::Word { text, computed }
    }

    /// Takes the rest of an expansion that begins with `c`, or just `c`. True for what is computed.
    fn expansion(&mut self, c: char, text: &mut String) -> bool {
        if c == '`' {
            let mut inner = String::new();
            while let Some(c) = self.take() {
                match c {
                    '`' => break,
                    '\\' => inner.extend(self.take()),
                    c => inner.push(c),
                }
            }
            self.inner.push(inner);
            text.push_str("``");
            return true;
        }
        text.push(c);
        if c != '$' {
            return false;
        }
        match self.peek() {
            Some('(') => {
                self.take();
                let inner = self.balanced('(', ')');
                // `$((…))` is arithmetic; commands can only be substituted inside of it, which the words show.
                if let Some(arithmetic) = inner.strip_prefix('(') {
                    add_expansions(arithmetic, &mut self.inner);
                } else {
                    self.inner.push(inner);
                }
                text.push_str("()");
                true
            }
            Some('{') => {
                self.take();
                let inner = self.balanced('{', '}');
                add_expansions(&inner, &mut self.inner);
                if matches!(inner.as_str(), "@" | "*") {
                    text.push_str(&inner);
                } else {
                    text.push('{');
                    text.push_str(&inner);
                    text.push('}');
                }
                true
            }
            Some(c)
                if c.is_ascii_alphanumeric()
                    || matches!(c, '_' | '@' | '*' | '#' | '?' | '!' | '-') =>
            {
                true
            }
            _ => false,
        }
    }

    /// Text up to the closing bracket that fits one already taken; quotes hide brackets.
    fn balanced(&mut self, open: char, close: char) -> String {
        let mut depth = 1;
        let mut text = String::new();
        let mut quote = None;
        while let Some(c) = self.take() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None | Some('"'), '\\') => {
                    text.push(c);
                    text.extend(self.take());
                    continue;
                }
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
            text.push(c);
        }
        text
    }
}

/// Command substitutions inside `${…}` and `$((…))`.
fn add_expansions(text: &str, inner: &mut Vec<String>) {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 0,
        heredocs: Vec::new(),
        inner: Vec::new(),
    };
    // `${a:-${b:-…}}` recurses here once for each level; a bound on the text keeps that shallow.
    if text.len() > 10_000 || text.matches('$').count() > 50 {
        return;
    }
    while let Some(c) = lexer.take() {
        lexer.expansion(c, &mut String::new());
    }
    inner.append(&mut lexer.inner);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_redis_entrypoint_of_docker_is_understood() {
        let script = read(
            "#!/bin/sh\nset -e\n\n# first arg is `-f` or `--some-option`\nif [ \"${1#-}\" != \"$1\" ] || [ \"${1%.conf}\" != \"$1\" ]; then\n\
             \tset -- redis-server \"$@\"\nfi\n\n# allow the container to be started with `--user`\n\
             if [ \"$1\" = 'redis-server' -a \"$(id -u)\" = '0' ]; then\n\tfind . \\! -user redis -exec chown redis '{}' +\n\
             \texec gosu redis \"$0\" \"$@\"\nfi\num=\"$(umask)\"\nif [ \"$um\" = '0022' ]; then\n\tumask 0077\nfi\nexec \"$@\"\n",
        );
        assert_eq!(script.obstacles, Vec::<String>::new());
        for word in ["redis-server", "find", "chown", "gosu", "id"] {
            assert!(script.words.contains(word), "{word}");
        }
        assert!(!script.words.contains("first"));
    }

    #[test]
    fn computed_commands_are_obstacles() {
        for (text, reason) in [
            ("eval \"$X\"", "eval"),
            ("if true; then $CMD a; fi", "$CMD"),
            ("`pick` a", "``"),
            ("$(which a) b", "$()"),
            (". \"$HOME/x\"", "$HOME/x"),
            ("A=1 \"$B\"/run", "$B/run"),
            ("env -i $X", "$X"),
            ("a | $X", "$X"),
        ] {
            let script = read(text);
            assert!(
                script.obstacles.iter().any(|o| o.contains(reason)),
                "{text}: {:?}",
                script.obstacles
            );
        }
        for text in [
            "exec \"$@\"",
            "exec \"${@}\"",
            "echo $X ${Y:-eval}",
            "X=$(date)",
            "case $1 in a) b;; esac",
            "for i in $X; do echo $i; done",
            "cat <<EOF\n$X eval\nEOF\necho",
            "a > $FILE",
            "[ -z \"$X\" ] && b",
        ] {
            assert_eq!(read(text).obstacles, Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn commands_inside_quotes_substitutions_and_here_documents_count() {
        let script = read(
            "sh -c 'first; second'\nx=$(third \"$(fourth)\")\ncat <<-E\n\t`fifth`\n\tE\n${y:-$(sixth)} || true",
        );
        for word in ["first", "second", "third", "fourth", "fifth", "sixth"] {
            assert!(script.words.contains(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a-z$`'\"(){}<>|;#=\\\\ \n-]{0,200}") {
            read(&text);
        }
    }
}
