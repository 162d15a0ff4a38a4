//! What stands between `{{` and `}}`.

use serde_json::Value;

use super::Expr;

/// Deepest nesting of parentheses read.
const MAX_DEPTH: usize = 64;

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Space,
    Dot,
    Field(String),
    Variable(String),
    Word(String),
    Literal(Value),
    Open,
    Close,
    Pipe,
    Declare,
    Comma,
    Other,
}

/// An action: a keyword it may begin with, variables it declares, and its pipeline.
#[derive(Debug, Default)]
pub(super) struct Action {
    pub(super) keywords: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) expr: Option<Expr>,
}

const KEYWORDS: [&str; 10] = [
    "if", "else", "end", "range", "with", "define", "block", "template", "break", "continue",
];

/// Reads an action.
pub(super) fn read(text: &str) -> Action {
    let tokens = tokens(text);
    let mut reader = Reader {
        tokens: &tokens,
        next: 0,
    };
    let mut action = Action::default();
    while let Some(Token::Word(word)) = reader.peek_after_space() {
        // `else if`, `else with`; nothing else has two.
        let first = action.keywords.is_empty();
        if !KEYWORDS.contains(&word.as_str())
            || !(first || action.keywords.iter().all(|k| k == "else"))
        {
            break;
        }
        action.keywords.push(word.clone());
        reader.take();
    }
    action.variables = reader.declaration();
    action.expr = reader.pipeline(0);
    action
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word_end = |from: &str| from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (token, length) = match first {
            c if c.is_whitespace() => {
                let end = rest.find(|c: char| !c.is_whitespace());
                (Token::Space, end.unwrap_or(rest.len()))
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '=' => (Token::Declare, 1),
            '"' | '`' | '\'' => quoted(rest, first),
            '.' => {
                let after = rest.get(1..).unwrap_or_default();
                match word_end(after) {
                    0 => (Token::Dot, 1),
                    end => (
                        Token::Field(after.get(..end).unwrap_or_default().to_owned()),
                        end + 1,
                    ),
                }
            }
            '$' => {
                let after = rest.get(1..).unwrap_or_default();
                let end = word_end(after);
                (
                    Token::Variable(after.get(..end).unwrap_or_default().to_owned()),
                    end + 1,
                )
            }
            c if c.is_ascii_digit() || matches!(c, '-' | '+') => number(rest),
            c if is_word(c) => {
                let end = word_end(rest);
                let word = rest.get(..end).unwrap_or_default();
                let token = match word {
                    "true" => Token::Literal(Value::Bool(true)),
                    "false" => Token::Literal(Value::Bool(false)),
                    "nil" => Token::Literal(Value::Null),
                    word => Token::Word(word.to_owned()),
                };
                (token, end)
            }
            c => (Token::Other, c.len_utf8()),
        };
        tokens.push(token);
        rest = rest.get(length.max(1)..).unwrap_or_default();
    }
    tokens
}

/// A string, raw string or character; its length in bytes, quotes included.
fn quoted(text: &str, quote: char) -> (Token, usize) {
    let end = string_end(text);
    let body = text.get(1..end.saturating_sub(1)).unwrap_or_default();
    let content = if quote == '`' {
        body.to_owned()
    } else {
        unescape(body)
    };
    (Token::Literal(Value::String(content)), end)
}

fn unescape(body: &str) -> String {
    let mut content = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => content.push('\n'),
                Some('t') => content.push('\t'),
                Some(other) => content.push(other),
                None => {}
            },
            c => content.push(c),
        }
    }
    content
}

/// Bytes of the string that a text begins with, quotes included; all of the text where it does not end.
pub(super) fn string_end(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else {
        return 0;
    };
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

fn number(text: &str) -> (Token, usize) {
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')))
        .map_or(text.len(), |(at, _)| at);
    let word = text.get(..end).unwrap_or_default();
    let token = match (word.parse::<i64>(), word.parse::<f64>()) {
        (Ok(number), _) => Token::Literal(number.into()),
        (_, Ok(number)) => Token::Literal(number.into()),
        _ => Token::Other,
    };
    (token, end)
}

struct Reader<'t> {
    tokens: &'t [Token],
    next: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.next)
    }

    fn peek_after_space(&mut self) -> Option<&'t Token> {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
        self.peek()
    }

    fn take(&mut self) -> Option<&'t Token> {
        let token = self.peek();
        self.next += 1;
        token
    }

    /// `$x :=`, `$x =` or `$i, $x :=`.
    fn declaration(&mut self) -> Vec<String> {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            match self.peek_after_space() {
                Some(Token::Variable(name)) => {
                    names.push(name.clone());
                    self.take();
                }
                Some(Token::Comma) if !names.is_empty() => {
                    self.take();
                }
                Some(Token::Declare) if !names.is_empty() => {
                    self.take();
                    return names;
                }
                _ => {
                    self.next = start;
                    return Vec::new();
                }
            }
        }
    }

    fn pipeline(&mut self, depth: usize) -> Option<Expr> {
        if depth > MAX_DEPTH {
            self.next = self.tokens.len();
            return None;
        }
        let mut result: Option<Expr> = None;
        loop {
            let command = self.command(depth, result.take());
            result = command;
            match self.peek_after_space() {
                Some(Token::Pipe) => {
                    self.take();
                }
                Some(Token::Close) | None => return result,
                Some(_) => {
                    self.take();
                }
            }
        }
    }

    /// One command: its function or value, its arguments, and what is piped into it.
    fn command(&mut self, depth: usize, piped: Option<Expr>) -> Option<Expr> {
        let mut function = None;
        let mut operands = Vec::new();
        loop {
            let token = self.peek_after_space();
            match token {
                None | Some(Token::Pipe | Token::Close) => break,
                Some(Token::Word(word)) if function.is_none() && operands.is_empty() => {
                    self.take();
                    function = Some(word.clone());
                }
                Some(_) => operands.extend(self.operand(depth)),
            }
        }
        match function {
            Some(name) => {
                operands.extend(piped);
                Some(Expr::Call(name, operands))
            }
            None => {
                let alone = operands.len() == 1 && piped.is_none();
                operands.extend(piped);
                match operands.pop() {
                    Some(only) if alone => Some(only),
                    Some(last) => {
                        operands.push(last);
                        Some(Expr::Other(operands))
                    }
                    None => None,
                }
            }
        }
    }

    fn operand(&mut self, depth: usize) -> Option<Expr> {
        let mut expr = match self.take()? {
            Token::Dot => Expr::Dot,
            Token::Field(name) => Expr::Field(Box::new(Expr::Dot), name.clone()),
            Token::Variable(name) => Expr::Variable(name.clone()),
            Token::Literal(value) => Expr::Literal(value.clone()),
            // A function without arguments may be an argument itself.
            Token::Word(name) => Expr::Call(name.clone(), Vec::new()),
            Token::Open => {
                let inner = self.pipeline(depth + 1).unwrap_or(Expr::Other(Vec::new()));
                if self.peek() == Some(&Token::Close) {
                    self.take();
                }
                inner
            }
            _ => return None,
        };
        while let Some(Token::Field(name)) = self.peek() {
            self.take();
            expr = Expr::Field(Box::new(expr), name.clone());
        }
        Some(expr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &[&str]) -> Expr {
        path.iter().fold(Expr::Dot, |base, name| {
            Expr::Field(Box::new(base), (*name).to_owned())
        })
    }

    #[test]
    fn pipelines_become_calls_with_what_is_piped_as_last_argument() {
        let action = read(r#"if and .Values.a.b (eq .Values.mode "x y") | not"#);
        assert_eq!(action.keywords, ["if"]);
        let equal = Expr::Call(
            "eq".to_owned(),
            vec![values(&["Values", "mode"]), Expr::Literal("x y".into())],
        );
        let and = Expr::Call("and".to_owned(), vec![values(&["Values", "a", "b"]), equal]);
        assert_eq!(action.expr, Some(Expr::Call("not".to_owned(), vec![and])));
    }

    #[test]
    fn variables_fields_of_parentheses_and_methods() {
        let action = read("range $k, $v := (index .Values \"a-b\").c");
        assert_eq!(action.variables, ["k", "v"]);
        let index = Expr::Call(
            "index".to_owned(),
            vec![values(&["Values"]), Expr::Literal("a-b".into())],
        );
        assert_eq!(
            action.expr,
            Some(Expr::Field(Box::new(index), "c".to_owned()))
        );
        let method = read(".Capabilities.APIVersions.Has \"v1\"").expr;
        assert!(matches!(method, Some(Expr::Other(parts)) if parts.len() == 2));
        assert_eq!(read("else if $.x").keywords, ["else", "if"]);
        assert_eq!(read("$x := 5").variables, ["x"]);
    }
}
