//! Reads a TOML document field by field and says of everything wrong in it where it is: line and path. Not here: which
//! fields there are (`super`) and how they must fit together ([`super::check`]).
//!
//! Reading goes on after a mistake with a value in range, so that all mistakes are found at once.

use super::traces;
use libos_core::scenario::Trace;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// The field, such as `libos[1].clients[2].tickets`; empty for the file as a whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// What was found out about a document so far.
#[derive(Debug)]
pub struct Findings<'a> {
    text: &'a str,
    lines: BTreeMap<String, usize>,
    problems: Vec<Problem>,
    folder: &'a Path,
    traces: Vec<(Trace, Vec<usize>)>,
}

impl<'a> Findings<'a> {
    /// Nothing yet about this text, which is of a file in this folder.
    pub fn new(text: &'a str, folder: &'a Path) -> Self {
        Self { text, lines: BTreeMap::new(), problems: Vec::new(), folder, traces: Vec::new() }
    }

    /// Notes a problem with the field at `path`. A field that is not written has the line of what it belongs to.
    pub fn problem(&mut self, path: &str, message: impl Into<String>) {
        let mut known = path;
        while !self.lines.contains_key(known) && !known.is_empty() {
            known = known.rfind(['.', '[']).map_or("", |cut| &known[..cut]);
        }
        let line = self.lines.get(known).copied().unwrap_or(1);
        self.problems.push(Problem { line, path: path.into(), message: message.into() });
    }

    /// Notes a problem at a place in the text that is no field.
    pub fn problem_at(&mut self, span: Option<Range<usize>>, message: impl Into<String>) {
        let line = span.map_or(1, |span| self.line(&span));
        self.problems.push(Problem { line, path: String::new(), message: message.into() });
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The lists of releases that were read, by their numbers.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        std::mem::take(&mut self.traces).into_iter().map(|(trace, _)| trace).collect()
    }

    /// Every problem, in the order of the file.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort();
        self.problems
    }

    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
    }

    fn note(&mut self, path: &str, span: &Range<usize>) {
        let line = self.line(span);
        self.lines.insert(path.into(), line);
    }
}

/// A table of the document, from which fields are taken one by one; [`Fields::end`] complains of those left over.
#[derive(Debug)]
pub struct Fields<'f, 'a> {
    findings: &'f mut Findings<'a>,
    path: String,
    left: DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'f, 'a> Fields<'f, 'a> {
    /// The fields of the table at `path`.
    pub fn new(findings: &'f mut Findings<'a>, path: &str, table: Spanned<DeTable<'a>>) -> Self {
        findings.note(path, &table.span());
        Self { findings, path: path.into(), left: table.into_inner(), known: Vec::new() }
    }

    /// Takes an integer that must be there. A missing or wrong one reads as the lowest in range.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> u64 {
        let lowest = *range.start();
        match self.optional_integer(name, range) {
            Some(value) => value,
            None => {
                self.missing(name);
                lowest
            }
        }
    }

    /// Takes an integer that has a default.
    pub fn integer_or(&mut self, name: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.optional_integer(name, range).unwrap_or(default)
    }

    /// Takes an integer if it is there.
    pub fn optional_integer(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take(name)?;
        Some(self.integer_in(&self.at(name), &value, &range))
    }

    /// Takes a list of integers; empty if it is not there.
    pub fn integers(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Vec<u64> {
        let values = self.list(name);
        values.iter().map(|(path, value)| self.integer_in(path, value, &range)).collect()
    }

    /// Takes a text that must be there.
    pub fn text(&mut self, name: &'static str) -> String {
        self.optional_text(name).unwrap_or_else(|| {
            self.missing(name);
            String::new()
        })
    }

    /// Takes a text if it is there.
    pub fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        Some(self.text_in(&self.at(name), &value))
    }

    /// Takes `true` or `false`; `false` if it is not there.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// Takes `true` or `false` if it is there.
    pub fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(&self.at(name), "true or false", &value);
        }
        flag
    }

    /// Takes one of several words, if it is there. A wrong one reads as the first.
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        Some(self.choice_in(&self.at(name), &value, words))
    }

    /// Takes a list of words that must be there and not be empty.
    pub fn choices<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Vec<T> {
        let values = self.list(name);
        if values.is_empty() {
            self.findings.problem(&self.at(name), "must list at least one");
        }
        values.iter().map(|(path, value)| self.choice_in(path, value, words)).collect()
    }

    /// Takes a table; an empty one if it is not there.
    pub fn table(&mut self, name: &'static str) -> Fields<'_, 'a> {
        let path = self.at(name);
        let table = self.take(name).and_then(|value| self.table_in(&path, value));
        Fields { findings: self.findings, path, left: table.unwrap_or_default(), known: Vec::new() }
    }

    /// Takes each table of a list of tables, by `read`.
    pub fn tables<T>(&mut self, name: &'static str, mut read: impl FnMut(Fields<'_, 'a>) -> T) -> Vec<T> {
        let values = self.list(name);
        let mut all = Vec::new();
        for (path, value) in values {
            if let Some(left) = self.table_in(&path, value) {
                all.push(read(Fields { findings: self.findings, path, left, known: Vec::new() }));
            }
        }
        all
    }

    /// Takes the name of a file of releases, which must be there: the list's number, and the list with the line of each release. One that
    /// cannot be read is complained of.
    pub fn trace(&mut self, name: &'static str) -> Option<(u16, (Trace, Vec<usize>))> {
        let Some(file) = self.optional_text(name) else {
            self.missing(name);
            return None;
        };
        if let Some(known) = self.findings.traces.iter().position(|(trace, _)| trace.file == file) {
            return Some((known as u16, self.findings.traces[known].clone()));
        }
        match traces::read(self.findings.folder, &file) {
            Ok(read) => {
                self.findings.traces.push(read.clone());
                Some(((self.findings.traces.len() - 1) as u16, read))
            }
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.problem(name, problem));
                None
            }
        }
    }

    /// Notes a problem with a field of this table.
    pub fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.findings.problem(&self.at(name), message);
    }

    /// Complains of a field that must be there.
    pub fn missing(&mut self, name: &str) {
        self.problem(name, "is missing");
    }

    /// Complains of every field that nobody took.
    pub fn end(self) {
        for (key, _) in &self.left {
            let path = join(&self.path, key.get_ref());
            self.findings.note(&path, &key.span());
            self.findings.problem(&path, format!("unknown field; known here are {}", self.known.join(", ")));
        }
    }

    fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn take(&mut self, name: &'static str) -> Option<Spanned<DeValue<'a>>> {
        self.known.push(name);
        let (key, value) = self.left.remove_entry(name)?;
        // A list of tables spans them all; the key says where it begins.
        let span = if value.get_ref().is_array() { key.span() } else { value.span() };
        self.findings.note(&self.at(name), &span);
        Some(value)
    }

    fn list(&mut self, name: &'static str) -> Vec<(String, Spanned<DeValue<'a>>)> {
        let path = self.at(name);
        let Some(value) = self.take(name) else { return Vec::new() };
        let span = value.span();
        let items = match value.into_inner() {
            DeValue::Array(items) => items,
            other => {
                self.wrong_type(&path, "a list", &Spanned::new(span, other));
                return Vec::new();
            }
        };
        let items: Vec<_> = items.into_iter().enumerate().map(|(i, v)| (format!("{path}[{i}]"), v)).collect();
        items.iter().for_each(|(path, item)| self.findings.note(path, &item.span()));
        items
    }

    fn table_in(&mut self, path: &str, value: Spanned<DeValue<'a>>) -> Option<DeTable<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(table),
            other => {
                self.wrong_type(path, "a table", &Spanned::new(span, other));
                None
            }
        }
    }

    fn integer_in(&mut self, path: &str, value: &Spanned<DeValue<'a>>, range: &RangeInclusive<u64>) -> u64 {
        let (lowest, highest) = (*range.start(), *range.end());
        let Some(written) = value.get_ref().as_integer() else {
            self.wrong_type(path, "an integer", value);
            return lowest;
        };
        match i128::from_str_radix(written.as_str(), written.radix()) {
            Ok(number) if number < lowest.into() => {
                self.findings.problem(path, format!("must be at least {lowest} (got {number})"));
            }
            Ok(number) if number <= highest.into() => return number as u64,
            _ => self.findings.problem(path, format!("must be at most {highest} (got {written})")),
        }
        lowest
    }

    fn text_in(&mut self, path: &str, value: &Spanned<DeValue<'a>>) -> String {
        value.get_ref().as_str().map(String::from).unwrap_or_else(|| {
            self.wrong_type(path, "a text", value);
            String::new()
        })
    }

    fn choice_in<T: Copy>(&mut self, path: &str, value: &Spanned<DeValue<'a>>, words: &[(&str, T)]) -> T {
        let Some(written) = value.get_ref().as_str() else {
            self.wrong_type(path, "a text", value);
            return words[0].1;
        };
        words
            .iter()
            .find(|(word, _)| *word == written)
            .unwrap_or_else(|| {
                let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                self.findings.problem(path, format!("must be one of {} (got {written:?})", all.join(", ")));
                &words[0]
            })
            .1
    }

    fn wrong_type(&mut self, path: &str, wanted: &str, value: &Spanned<DeValue<'_>>) {
        let got = value.get_ref().type_str();
        self.findings.problem(path, format!("must be {wanted} (got a value of type {got})"));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}
