//! Dropout that was left in a model, taken out of the list of nodes.
//!
//! # What it does
//! The product of a dropout becomes an Identity of what it drops from. The random numbers are not needed any more then, nor is
//! the rate, which may be an input.
//!
//! # When it applies
//! To what TensorFlow 1 and 2 write for `tf.nn.dropout`, where that is asked for: a product of the scaled tensor with
//! `Floor(keep + random)` or `Cast(random >= rate)`, or a Select by that.
//!
//! # What it leaves alone
//! Random numbers that are used otherwise, noise among them.
//!
//! # Example
//! `Mul(RealDiv(x, keep), Floor(Add(keep, RandomUniform(Shape(x)))))` becomes `Identity(x)`.

use super::flat::{Flat, Ref};

/// So many nodes stand between random numbers and what is made of them at most.
const MOST_STEPS: usize = 6;

/// Takes dropouts out; says of which nodes that was done.
pub(super) fn drop(flat: &mut Flat<'_>) -> Vec<String> {
    let found: Vec<(usize, Ref)> =
        (0..flat.nodes.len()).filter_map(|node| Some((node, dropped_from(flat, node)?))).collect();
    let mut names = Vec::with_capacity(found.len());
    for (place, x) in found {
        let node = &mut flat.nodes[place];
        let attrs = Flat::typed(node.attr_type("T").unwrap_or(1)).as_bytes().to_vec();
        node.become_op("Identity", attrs);
        node.inputs.retain(|input| input.is_control());
        node.inputs.insert(0, x);
        names.push(node.name.clone());
    }
    names
}

/// What a node drops from, if it is the last of a dropout.
fn dropped_from(flat: &Flat<'_>, node: usize) -> Option<Ref> {
    let inputs: Vec<Ref> = flat.nodes[node].data_inputs().collect();
    let (mask, scaled) = match (&*flat.nodes[node].op, &inputs[..]) {
        ("Mul", &[a, b]) if random_of_mask(flat, b).is_some() => (b, a),
        ("Mul", &[a, b]) => (a, b),
        ("Select" | "SelectV2", &[mask, kept, _]) => (mask, kept),
        _ => return None,
    };
    let random = random_of_mask(flat, mask)?;
    let scaled = passed_on(flat, scaled);
    let parts: Vec<Ref> = data_inputs(flat, scaled);
    let (&[x, scale], op) = (&parts[..], &*flat.nodes[scaled.index()].op) else { return None };
    // The random numbers are as many as there are in what is dropped from.
    let shape = data_inputs(flat, random).first().map(|&shape| passed_on(flat, shape));
    let shape_of =
        shape.filter(|shape| is(flat, *shape, "Shape")).and_then(|shape| data_inputs(flat, shape).first().copied());
    let same = |other: Ref| shape_of.is_some_and(|of| passed_on(flat, of) == passed_on(flat, other));
    match op {
        "RealDiv" => Some(x),
        "Mul" if same(x) || !same(scale) && is_scale(flat, scale) => Some(x),
        "Mul" if same(scale) || is_scale(flat, x) => Some(scale),
        _ => None,
    }
}

/// The random numbers that decide what is kept, where a tensor says so in zeros and ones.
fn random_of_mask(flat: &Flat<'_>, mask: Ref) -> Option<Ref> {
    let mask = passed_on(flat, mask);
    let of_truth = |truth: Ref| match data_inputs(flat, truth)[..] {
        [numbers, _] if is(flat, truth, "GreaterEqual") => random(flat, numbers),
        _ => None,
    };
    match (&*flat.nodes[mask.index()].op, &data_inputs(flat, mask)[..]) {
        ("Cast", &[truth]) => of_truth(passed_on(flat, truth)),
        ("GreaterEqual", _) => of_truth(mask),
        ("Floor", &[sum]) => {
            let sum = passed_on(flat, sum);
            let is_sum = is(flat, sum, "Add") || is(flat, sum, "AddV2");
            data_inputs(flat, sum).into_iter().filter(|_| is_sum).find_map(|part| random(flat, part))
        }
        _ => None,
    }
}

/// The node that draws random numbers, moved and scaled or not.
fn random(flat: &Flat<'_>, from: Ref) -> Option<Ref> {
    let mut at = passed_on(flat, from);
    for _ in 0..MOST_STEPS {
        match &*flat.nodes[at.index()].op {
            "RandomUniform" | "StatelessRandomUniform" | "StatelessRandomUniformV2" => return Some(at),
            // `uniform * (max - min) + min`
            "Add" | "AddV2" | "Mul" => at = passed_on(flat, *data_inputs(flat, at).first()?),
            _ => return None,
        }
    }
    None
}

/// Whether a tensor is a number, or one through another.
fn is_scale(flat: &Flat<'_>, tensor: Ref) -> bool {
    let tensor = passed_on(flat, tensor);
    let is_one = |tensor: Ref| is(flat, passed_on(flat, tensor), "Const");
    is_one(tensor) || is(flat, tensor, "RealDiv") && data_inputs(flat, tensor).first().is_some_and(|&one| is_one(one))
}

fn is(flat: &Flat<'_>, tensor: Ref, op: &str) -> bool {
    flat.nodes[tensor.index()].op == op
}

fn data_inputs(flat: &Flat<'_>, tensor: Ref) -> Vec<Ref> {
    flat.nodes[tensor.index()].data_inputs().collect()
}

/// What is read past Identity nodes.
fn passed_on(flat: &Flat<'_>, tensor: Ref) -> Ref {
    let mut at = tensor;
    for _ in 0..MOST_STEPS {
        match flat.nodes[at.index()].data_inputs().next() {
            Some(input) if is(flat, at, "Identity") => at = input,
            _ => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::report::FreezeReport;
    use super::super::{FreezeOptions, Frozen, freeze};
    use crate::container::{Encoding, MessageKind, Model, OpenOptions};
    use crate::graph::samples::file_of;

    /// The ops that are left of a graph up to `out`, when dropouts are taken out, and what is said of that.
    fn left(lines: &str) -> (Vec<String>, FreezeReport) {
        let format = Some((MessageKind::GraphDef, Encoding::Binary));
        let options = OpenOptions { format, ..OpenOptions::default() };
        let model = Model::open(file_of(lines), &options).unwrap();
        let options = FreezeOptions { outputs: vec!["out".to_owned()], simplify: true, ..FreezeOptions::default() };
        let Frozen { model, report } = freeze(&model, &options).unwrap();
        (model.graph.ids().map(|node| model.graph.op(node).to_owned()).collect(), report)
    }

    const RANDOM: &str = "
        x = Placeholder [?,8]
        shape = Shape(x) out_type=DT_INT32
        uniform = RandomUniform(shape) T=DT_INT32
        low = Const 0.0
        range = Const 1.0
        scaled = Mul(uniform, range)
        random = Add(scaled, low)";

    #[test]
    fn dropouts_of_all_versions_are_taken_out() {
        for form in [
            "keep = Placeholder []
             sum = Add(keep, random)
             mask = Floor(sum)
             kept = RealDiv(x, keep)
             out = Mul(kept, mask)",
            "rate = Const 0.4
             one = Const 1.0
             keep = Sub(one, rate)
             scale = RealDiv(one, keep)
             truth = GreaterEqual(random, rate)
             mask = Cast(truth) SrcT=DT_BOOL DstT=DT_FLOAT
             kept = Mul(scale, x)
             out = Mul(kept, mask)",
            "rate = Const 0.4
             scale = Const 1.6666
             zero = Const 0.0
             truth = GreaterEqual(random, rate)
             kept = Mul(x, scale)
             out = SelectV2(truth, kept, zero)",
        ] {
            let (ops, report) = left(&format!("{RANDOM}\n{form}"));
            assert_eq!(
                (&ops[..], &report.dropouts[..]),
                (&["Placeholder", "Identity"].map(str::to_owned)[..], &["out".to_owned()][..])
            );
            let unread: &[&str] = if form.contains("Placeholder") { &["keep"] } else { &[] };
            assert_eq!(report.unread, unread);
        }
    }

    #[test]
    fn other_random_numbers_stay() {
        let (ops, report) = left(&format!("{RANDOM}\nout = Mul(x, random)"));
        assert!(ops.contains(&"RandomUniform".to_owned()) && report.dropouts.is_empty(), "{ops:?}");
    }
}
