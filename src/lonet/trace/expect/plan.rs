//! The sequences of items in a file, and how strands advance along them.

use super::parse::{Expected, Item};
use super::pattern::Captured;
use crate::trace::moment::Moment;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A line, by its number among all lines.
pub type Line = usize;
type Sequence = usize;

#[derive(Debug)]
enum Node {
    Event(Line),
    Never(Line),
    Block(Vec<Sequence>),
    Meanwhile(Sequence),
}

/// The sequences and lines of a file.
#[derive(Debug, Default)]
pub struct Plan {
    pub lines: Vec<Expected>,
    sequences: Vec<Vec<Node>>,
    /// For each sequence, the first one that is equal to it.
    alias: Vec<Sequence>,
    /// For each line, the first one that is equal to it.
    class: Vec<Line>,
    /// The first sequence and line for each content.
    known: BTreeMap<Vec<(u8, Vec<usize>)>, Sequence>,
    known_lines: BTreeMap<String, Line>,
}

impl Plan {
    pub fn add(&mut self, items: &[Item]) -> Sequence {
        let nodes: Vec<Node> = items.iter().map(|item| self.node(item)).collect();
        let number = self.sequences.len();
        let key = nodes.iter().map(|node| self.key(node)).collect();
        self.alias.push(*self.known.entry(key).or_insert(number));
        self.sequences.push(nodes);
        number
    }

    fn node(&mut self, item: &Item) -> Node {
        match item {
            Item::Event(line) => Node::Event(self.line(line)),
            Item::Never(line) => Node::Never(self.line(line)),
            Item::Unordered(items) => {
                Node::Block(items.iter().map(|item| self.add(std::slice::from_ref(item))).collect())
            }
            Item::Ordered(items) => Node::Block(vec![self.add(items)]),
            Item::Meanwhile(items) => Node::Meanwhile(self.add(items)),
        }
    }

    fn line(&mut self, line: &Expected) -> Line {
        let number = self.lines.len();
        let plain = Expected { line: 0, source: String::new(), ..line.clone() };
        self.class.push(*self.known_lines.entry(format!("{plain:?}")).or_insert(number));
        self.lines.push(line.clone());
        number
    }

    /// A key that is the same for equal nodes.
    fn key(&self, node: &Node) -> (u8, Vec<usize>) {
        let of = |all: &[usize], line: usize| all.get(line).copied().unwrap_or(line);
        match node {
            Node::Event(line) => (0, vec![of(&self.class, *line)]),
            Node::Never(line) => (1, vec![of(&self.class, *line)]),
            Node::Block(sequences) => (2, sequences.iter().map(|s| of(&self.alias, *s)).collect()),
            Node::Meanwhile(sequence) => (3, vec![of(&self.alias, *sequence)]),
        }
    }
}

/// A position in a sequence, and in the blocks that are open there.
#[derive(Clone, Debug)]
pub struct Strand {
    alias: Sequence,
    sequence: Sequence,
    /// The next node of the sequence, after the strands inside have ended.
    position: usize,
    inside: Vec<Strand>,
}

impl Strand {
    fn key(&self) -> (Sequence, usize, &[Strand]) {
        (self.alias, self.position, &self.inside)
    }
}

impl PartialEq for Strand {
    fn eq(&self, other: &Strand) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Strand {}
impl PartialOrd for Strand {
    fn partial_cmp(&self, other: &Strand) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Strand {
    fn cmp(&self, other: &Strand) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A state of the automaton: one way to read the events so far.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The number of equal strands, for each.
    pub strands: BTreeMap<Strand, usize>,
    pub captured: Captured,
    /// The lines that may not match any more.
    pub never: Vec<Line>,
    /// The time of the last event that matched; only kept if a line has `within`.
    pub last: Moment,
    /// The number of lines that have matched. It follows from the strands.
    pub matched: usize,
}

impl State {
    pub fn add(&mut self, strand: Strand) {
        *self.strands.entry(strand).or_insert(0) += 1;
    }

    /// Removes one strand.
    fn remove(&mut self, strand: &Strand) -> Strand {
        match self.strands.get_mut(strand) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = self.strands.remove(strand),
        }
        strand.clone()
    }
}

impl Plan {
    pub fn begin(&self, sequence: Sequence, state: &mut State) -> Option<Strand> {
        let alias = self.alias.get(sequence).copied().unwrap_or(sequence);
        let mut strand = Strand { alias, sequence, position: 0, inside: Vec::new() };
        self.skip_to_event(&mut strand, state).then_some(strand)
    }

    /// Advances to the next expected event. `false`: the strand has ended.
    fn skip_to_event(&self, strand: &mut Strand, state: &mut State) -> bool {
        while strand.inside.is_empty() {
            let Some(node) = self.sequences.get(strand.sequence).and_then(|s| s.get(strand.position)) else {
                return false;
            };
            match node {
                Node::Event(_) => return true,
                Node::Never(line) => {
                    if !state.never.contains(line) {
                        state.never.push(*line);
                    }
                }
                Node::Block(sequences) => {
                    strand.inside = sequences.iter().filter_map(|s| self.begin(*s, state)).collect();
                }
                Node::Meanwhile(sequence) => {
                    if let Some(beside) = self.begin(*sequence, state) {
                        state.add(beside);
                    }
                }
            }
            strand.position += 1;
        }
        true
    }

    /// The line that a strand expects next, unless blocks are open inside.
    fn line_of(&self, strand: &Strand) -> Option<Line> {
        match self.sequences.get(strand.sequence)?.get(strand.position)? {
            Node::Event(line) if strand.inside.is_empty() => Some(*line),
            _ => None,
        }
    }

    /// Calls `each` with every line that a strand expects next, and the path to it.
    pub fn for_each_expected(
        &self,
        strand: &Strand,
        path: &mut Vec<usize>,
        each: &mut impl FnMut(Line, &[usize]),
    ) {
        if let Some(line) = self.line_of(strand) {
            return each(line, path);
        }
        for (place, inside) in strand.inside.iter().enumerate() {
            // Equal strands need to be tried only once.
            if strand.inside.iter().take(place).any(|before| before == inside) {
                continue;
            }
            path.push(place);
            self.for_each_expected(inside, path, each);
            path.pop();
        }
    }

    /// Advances one of a state's strands by the line at the end of a path.
    pub fn advance(&self, strand: &Strand, path: &[usize], state: &mut State) {
        let mut strand = state.remove(strand);
        if self.advance_in(&mut strand, path, state) {
            state.add(strand);
        }
    }

    /// Advances a strand. `false`: it has ended.
    fn advance_in(&self, strand: &mut Strand, path: &[usize], state: &mut State) -> bool {
        match path.split_first() {
            None => strand.position += 1,
            Some((first, inner)) => {
                let Some(inside) = strand.inside.get_mut(*first) else { return true };
                if !self.advance_in(inside, inner, state) {
                    strand.inside.remove(*first);
                }
            }
        }
        self.skip_to_event(strand, state)
    }
}
