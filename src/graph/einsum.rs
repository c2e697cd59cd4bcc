//! The equation of an Einsum: what the axes of its inputs and of its output are called. Asked by shape inference, by the
//! interpreter, and by the pass that makes products of it.

/// TensorFlow's tensors have no more.
const MOST_AXES: usize = 254;

/// The name of an axis: a letter, or a place in what `...` stands for, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Letter(char),
    Dots(usize),
}

/// The names of a tensor's axes, as far as its rank does not matter.
#[derive(Debug)]
struct Term {
    before: Vec<Label>,
    behind: Vec<Label>,
    has_dots: bool,
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let (before, behind, has_dots) = match text.split_once("...") {
            Some((before, behind)) => (before, behind, true),
            None => (text, "", false),
        };
        let letters = |text: &str| {
            let letter = |letter: char| letter.is_ascii_alphabetic().then_some(Label::Letter(letter));
            text.chars().map(letter).collect::<Option<Vec<_>>>()
        };
        let term = Self { before: letters(before)?, behind: letters(behind)?, has_dots };
        let labels = term.labels(0);
        let repeats = (1..labels.len()).any(|at| labels[..at].contains(&labels[at]));
        (!repeats).then_some(term)
    }

    /// How many axes the dots stand for in a tensor of that rank; `None` if such a tensor does not fit.
    fn dots(&self, rank: usize) -> Option<usize> {
        let dots = rank.checked_sub(self.before.len() + self.behind.len())?;
        (dots == 0 || self.has_dots && rank <= MOST_AXES).then_some(dots)
    }

    fn labels(&self, dots: usize) -> Vec<Label> {
        let dots = (0..if self.has_dots { dots } else { 0 }).rev().map(Label::Dots);
        self.before.iter().copied().chain(dots).chain(self.behind.iter().copied()).collect()
    }
}

/// An equation of one or two inputs, in none of which an axis comes twice.
#[derive(Debug)]
pub(crate) struct Equation {
    inputs: Vec<Term>,
    output: Term,
}

/// What the axes are called, of inputs of known ranks.
#[derive(Debug)]
pub(crate) struct Labels {
    /// Of each input.
    pub(crate) inputs: Vec<Vec<Label>>,
    /// Of the output.
    pub(crate) output: Vec<Label>,
}

impl Equation {
    /// Of an Einsum's attribute; `None` for what is written otherwise.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: String = text.split_whitespace().collect();
        let (inputs, output) = text.split_once("->")?;
        let inputs: Vec<Term> = inputs.split(',').map(Term::parse).collect::<Option<_>>()?;
        (inputs.len() <= 2).then_some(Self { inputs, output: Term::parse(output)? })
    }

    /// How many inputs it is of.
    pub(crate) fn count(&self) -> usize {
        self.inputs.len()
    }

    /// The rank of an input; `None` if the output's has to do with what `...` stands for in it.
    pub(crate) fn rank(&self, input: usize) -> Option<usize> {
        let term = self.inputs.get(input).filter(|term| !(term.has_dots && self.output.has_dots))?;
        Some(term.before.len() + term.behind.len())
    }

    /// What the axes of inputs of these ranks are called; `None` if such inputs do not fit.
    pub(crate) fn labels(&self, ranks: &[usize]) -> Option<Labels> {
        if ranks.len() != self.inputs.len() {
            return None;
        }
        let dots: Vec<usize> =
            self.inputs.iter().zip(ranks).map(|(term, &rank)| term.dots(rank)).collect::<Option<_>>()?;
        let of_inputs = self.inputs.iter().zip(&dots).map(|(term, &dots)| term.labels(dots));
        let most = dots.iter().copied().max().unwrap_or_default();
        Some(Labels { inputs: of_inputs.collect(), output: self.output.labels(most) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(labels: &[Label]) -> String {
        let name = |label: &Label| match label {
            Label::Letter(letter) => *letter,
            Label::Dots(place) => char::from(b'0' + u8::try_from(*place).unwrap()),
        };
        labels.iter().map(name).collect()
    }

    #[test]
    fn axes_have_names() {
        let equation = Equation::parse("a...b, bc -> ...c").unwrap();
        assert_eq!((equation.count(), equation.rank(0), equation.rank(1)), (2, None, Some(2)));
        let labels = equation.labels(&[4, 2]).unwrap();
        assert_eq!(labels.inputs.iter().map(|labels| text(labels)).collect::<Vec<_>>(), ["a10b", "bc"]);
        assert_eq!(text(&labels.output), "10c");
        assert!(equation.labels(&[1, 2]).is_none() && equation.labels(&[4, 3]).is_none());
        assert!(equation.labels(&[4]).is_none());
    }

    #[test]
    fn what_is_written_otherwise_is_none() {
        for text in ["ab,bc", "aa->a", "ab,bc,cd->ad", "a b->?", "ab->bb"] {
            assert!(Equation::parse(text).is_none(), "{text}");
        }
    }
}
