//! A pattern as a program: what each step asks of the next character, and where it goes on.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// The most steps of a program: repetitions are written out.
const MAX_STEPS: usize = 1024;
/// The most ranges of characters in all classes of a program.
const MAX_RANGES: usize = 16 * 1024;
/// The most parts that are looked at for a program; an empty one that is repeated makes no steps.
const MAX_PARTS: usize = 64 * 1024;

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Char(char),
    /// One of the characters of a class.
    Class(usize),
    /// Two ways, of which the first is preferred.
    Split(usize, usize),
    Jump(usize),
    /// Notes the place.
    Save(usize),
    Look(Look),
    Match,
}

/// Characters, as ranges in order that don't touch.
#[derive(Debug, PartialEq)]
pub struct Chars {
    /// Those below 128, a bit for each.
    ascii: u128,
    ranges: Vec<(char, char)>,
}

impl Chars {
    pub fn has(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii >> u32::from(c) & 1 == 1;
        }
        let place = self.ranges.partition_point(|(_, end)| *end < c);
        self.ranges.get(place).is_some_and(|(start, _)| *start <= c)
    }
}

#[derive(Debug)]
pub struct Program {
    pub steps: Vec<Step>,
    pub classes: Vec<Chars>,
    /// The names of the groups; the first is the whole.
    pub names: Vec<Option<String>>,
    /// It matches at the start of the text only.
    pub anchored: bool,
    ranges: usize,
    parts: usize,
}

impl Program {
    pub fn new(tree: &Hir) -> Result<Self, String> {
        let mut program = Self {
            steps: Vec::new(),
            classes: Vec::new(),
            names: vec![None],
            anchored: tree.properties().look_set_prefix().contains(Look::Start),
            ranges: 0,
            parts: 0,
        };
        program.step(Step::Save(0))?;
        program.part(tree)?;
        program.step(Step::Save(1))?;
        program.step(Step::Match)?;
        Ok(program)
    }

    fn step(&mut self, step: Step) -> Result<usize, String> {
        if self.steps.len() == MAX_STEPS {
            return Err(format!("it is too large: with its repetitions it has more than {MAX_STEPS} steps"));
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn part(&mut self, tree: &Hir) -> Result<(), String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err("it is too large: its repetitions are nested too deep".to_owned());
        }
        match tree.kind() {
            HirKind::Empty => Ok(()),
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).map_err(|_| "it is not of text".to_owned())?;
                for c in text.chars() {
                    self.step(Step::Char(c))?;
                }
                Ok(())
            }
            HirKind::Class(class) => self.class(class),
            HirKind::Look(look) => self.step(Step::Look(*look)).map(drop),
            HirKind::Repetition(repetition) => self.repeat(repetition),
            HirKind::Capture(capture) => {
                let group = capture.index as usize;
                // Repetitions come here again, and a group that is repeated no times never comes.
                self.names.resize(self.names.len().max(group + 1), None);
                self.names[group] = capture.name.as_deref().map(str::to_owned);
                self.step(Step::Save(2 * group))?;
                self.part(&capture.sub)?;
                self.step(Step::Save(2 * group + 1)).map(drop)
            }
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.part(part)),
            HirKind::Alternation(ways) => self.either(ways),
        }
    }

    fn class(&mut self, class: &Class) -> Result<(), String> {
        let ranges: Vec<(char, char)> = match class {
            Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
            Class::Bytes(class) => {
                class.iter().map(|range| (char::from(range.start()), char::from(range.end()))).collect()
            }
        };
        let ascii = (0..128_u8).filter(|byte| {
            let c = char::from(*byte);
            ranges.iter().any(|(start, end)| *start <= c && c <= *end)
        });
        let chars = Chars { ascii: ascii.fold(0, |bits, byte| bits | 1 << byte), ranges };
        let known = self.classes.iter().position(|class| *class == chars);
        let place = match known {
            Some(place) => place,
            None => {
                self.ranges += chars.ranges.len();
                if self.ranges > MAX_RANGES {
                    return Err("it is too large: its classes have too many characters".to_owned());
                }
                self.classes.push(chars);
                self.classes.len() - 1
            }
        };
        self.step(Step::Class(place)).map(drop)
    }

    fn either(&mut self, ways: &[Hir]) -> Result<(), String> {
        let Some((last, others)) = ways.split_last() else { return Ok(()) };
        let mut ends = Vec::new();
        for way in others {
            let split = self.step(Step::Split(0, 0))?;
            self.part(way)?;
            ends.push(self.step(Step::Jump(0))?);
            self.steps[split] = Step::Split(split + 1, self.steps.len());
        }
        self.part(last)?;
        for end in ends {
            self.steps[end] = Step::Jump(self.steps.len());
        }
        Ok(())
    }

    fn repeat(&mut self, repetition: &Repetition) -> Result<(), String> {
        let Repetition { min, max, greedy, sub } = repetition;
        let split = |on, off| if *greedy { Step::Split(on, off) } else { Step::Split(off, on) };
        for _ in 1..*min {
            self.part(sub)?;
        }
        let Some(max) = max else {
            // `x*` is `(x+)?`: so what may be empty is tried once before it is left.
            let skip = if *min == 0 { Some(self.step(Step::Split(0, 0))?) } else { None };
            let start = self.steps.len();
            self.part(sub)?;
            let again = self.step(Step::Split(0, 0))?;
            self.steps[again] = split(start, again + 1);
            if let Some(skip) = skip {
                self.steps[skip] = split(start, again + 1);
            }
            return Ok(());
        };
        if *min > 0 {
            self.part(sub)?;
        }
        let mut skips = Vec::new();
        for _ in *min..*max {
            skips.push(self.step(Step::Split(0, 0))?);
            self.part(sub)?;
        }
        for skip in skips {
            self.steps[skip] = split(skip + 1, self.steps.len());
        }
        Ok(())
    }
}
