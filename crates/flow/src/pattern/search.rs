//! Follows all ways through a text at once, the preferred one first (Pike's machine).

use regex_syntax::hir::Look;

use super::program::{Program, Step};

/// Ways that are followed for one counted step: following one is cheap.
const WAYS_PER_STEP: usize = 4;
/// Ways that are followed before they are counted.
const WAYS_UNCOUNTED_MAX: usize = 256;

/// The ways that are under way, in the order of preference, with what each has noted.
#[derive(Default)]
struct Ways {
    steps: Vec<usize>,
    /// As many for each way as there are slots.
    slots: Vec<Option<usize>>,
    /// The turn in which a step was last come to.
    seen: Vec<u32>,
    turn: u32,
}

impl Ways {
    fn new(steps: usize) -> Self {
        Self { seen: vec![0; steps], turn: 1, ..Self::default() }
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.slots.clear();
        match self.turn.checked_add(1) {
            Some(turn) => self.turn = turn,
            None => {
                self.seen.fill(0);
                self.turn = 1;
            }
        }
    }

    /// Whether a step is come to for the first time in this turn.
    fn is_new(&mut self, step: usize) -> bool {
        let new = self.seen[step] != self.turn;
        self.seen[step] = self.turn;
        new
    }
}

/// What is left to do before the preferred way is told from the others.
enum Left {
    Follow(usize),
    Restore(usize, Option<usize>),
}

/// Searches in one text.
pub struct Search<'p, 't> {
    program: &'p Program,
    text: &'t str,
    /// How many slots are asked for: none where only the answer matters.
    width: usize,
    now: Ways,
    next: Ways,
    left: Vec<Left>,
    noted: Vec<Option<usize>>,
    caught: Vec<Option<usize>>,
    /// Ways that were followed and are not counted yet.
    ways: usize,
}

impl<'p, 't> Search<'p, 't> {
    pub fn new(program: &'p Program, text: &'t str, width: usize) -> Self {
        let steps = program.steps.len();
        Self {
            program,
            text,
            width,
            now: Ways::new(steps),
            next: Ways::new(steps),
            left: Vec::new(),
            noted: vec![None; width],
            caught: vec![None; width],
            ways: 2 * steps / 8,
        }
    }

    /// What the last search noted.
    pub fn slots(&self) -> &[Option<usize>] {
        &self.caught
    }

    /// Finds the first match that begins at a place or behind it. Steps are told to `count`.
    pub fn run<E>(&mut self, from: usize, count: &impl Fn(usize) -> Result<(), E>) -> Result<bool, E> {
        self.now.clear();
        let (mut matched, mut at) = (false, from);
        loop {
            let over = self.program.anchored && at > 0;
            if self.now.steps.is_empty() && (matched || over) {
                break;
            }
            let mut ways = 2;
            if !matched && !over {
                self.noted.fill(None);
                ways += Self::follow(
                    self.program,
                    self.text,
                    0,
                    at,
                    &mut self.now,
                    &mut self.noted,
                    &mut self.left,
                );
            }
            let c = self.text[at..].chars().next();
            self.next.clear();
            let behind = at + c.map_or(0, char::len_utf8);
            for place in 0..self.now.steps.len() {
                ways += 1;
                let step = self.now.steps[place];
                let goes_on = match self.program.steps[step] {
                    Step::Char(wanted) => c == Some(wanted),
                    Step::Class(class) => c.is_some_and(|c| self.program.classes[class].has(c)),
                    Step::Match => {
                        let noted = &self.now.slots[place * self.width..][..self.width];
                        self.caught.copy_from_slice(noted);
                        matched = true;
                        break;
                    }
                    _ => false,
                };
                if goes_on {
                    let noted = &self.now.slots[place * self.width..][..self.width];
                    self.noted.copy_from_slice(noted);
                    ways += Self::follow(
                        self.program,
                        self.text,
                        step + 1,
                        behind,
                        &mut self.next,
                        &mut self.noted,
                        &mut self.left,
                    );
                }
            }
            self.ways += ways * (1 + self.width / 8);
            if self.ways >= WAYS_UNCOUNTED_MAX {
                count(std::mem::take(&mut self.ways) / WAYS_PER_STEP)?;
            }
            // Whoever asks for no places wants to know no more.
            if c.is_none() || (matched && self.width == 0) {
                break;
            }
            std::mem::swap(&mut self.now, &mut self.next);
            at = behind;
        }
        Ok(matched)
    }

    /// Goes on from a step to all that ask for a character; how many steps that took.
    fn follow(
        program: &Program,
        text: &str,
        from: usize,
        at: usize,
        ways: &mut Ways,
        noted: &mut [Option<usize>],
        left: &mut Vec<Left>,
    ) -> usize {
        let mut taken = 0;
        left.push(Left::Follow(from));
        while let Some(next) = left.pop() {
            let mut step = match next {
                Left::Restore(slot, before) => {
                    noted[slot] = before;
                    continue;
                }
                Left::Follow(step) => step,
            };
            while ways.is_new(step) {
                taken += 1;
                step = match program.steps[step] {
                    Step::Jump(to) => to,
                    Step::Split(first, second) => {
                        left.push(Left::Follow(second));
                        first
                    }
                    Step::Save(slot) => {
                        if let Some(place) = noted.get_mut(slot) {
                            left.push(Left::Restore(slot, place.replace(at)));
                        }
                        step + 1
                    }
                    Step::Look(look) if !holds(look, text, at) => break,
                    Step::Look(_) => step + 1,
                    Step::Char(_) | Step::Class(_) | Step::Match => {
                        ways.steps.push(step);
                        ways.slots.extend_from_slice(noted);
                        break;
                    }
                };
            }
        }
        taken
    }
}

/// Whether what stands on both sides of a place is as asked.
fn holds(look: Look, text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at..].chars().next();
    let ascii = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let word = |c: Option<char>| {
        c.is_some_and(|c| regex_syntax::try_is_word_character(c).unwrap_or(c.is_alphanumeric()))
    };
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::StartLF => before.is_none_or(|c| c == '\n'),
        Look::EndLF => after.is_none_or(|c| c == '\n'),
        Look::StartCRLF => match before {
            Some('\r') => after != Some('\n'),
            before => before.is_none_or(|c| c == '\n'),
        },
        Look::EndCRLF => match after {
            Some('\n') => before != Some('\r'),
            after => after.is_none_or(|c| c == '\r'),
        },
        Look::WordAscii => ascii(before) != ascii(after),
        Look::WordAsciiNegate => ascii(before) == ascii(after),
        Look::WordUnicode => word(before) != word(after),
        Look::WordUnicodeNegate => word(before) == word(after),
        Look::WordStartAscii => !ascii(before) && ascii(after),
        Look::WordEndAscii => ascii(before) && !ascii(after),
        Look::WordStartUnicode => !word(before) && word(after),
        Look::WordEndUnicode => word(before) && !word(after),
        Look::WordStartHalfAscii => !ascii(before),
        Look::WordEndHalfAscii => !ascii(after),
        Look::WordStartHalfUnicode => !word(before),
        Look::WordEndHalfUnicode => !word(after),
    }
}
