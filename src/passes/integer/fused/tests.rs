//! Gaussian error linear units in every form become that of the converter and compute the same; nothing inside of what the
//! converter makes one op of gets a range.

use super::super::tests::{image, ranged, run};
use super::unify;
use crate::graph::samples::graph_of;
use crate::interpreter::Limits;

const NUMBERS: &str = "
    x = Placeholder [1,4,4,2]
    half = Const 0.5
    one = Const 1.0
    two = Const 2.0
    three = Const 3.0
    root = Const 1.4142135
    part = Const 0.70710677
    steep = Const 0.7978846
    small = Const 0.044715";
const BY_ERF: &str = "scaled = RealDiv(x, root)\ncurve = Erf(scaled)\nsum = AddV2(one, curve)";
const BY_TANH: &str = "cube = Pow(x, three)\ncubic = Mul(small, cube)\nadded = AddV2(x, cubic)\n\
                       scaled = Mul(steep, added)\ncurve = Tanh(scaled)\nsum = AddV2(one, curve)";

/// Whether a form had to be written anew; in any case it computes the same and has a range at its end alone.
fn is_rewritten(lines: &str) -> bool {
    let before = graph_of(&format!("{NUMBERS}\n{lines}"));
    let mut after = before.clone();
    let unified = unify(&mut after, &Limits::default()).unwrap();
    let x = image(2);
    for (wanted, got) in run(&before, "out", &x).iter().zip(run(&after, "out", &x)) {
        assert!((wanted - got).abs() <= 1e-6, "{lines}: {wanted} became {got}");
    }
    if unified == 0 {
        assert_eq!(ranged(&format!("{NUMBERS}\n{lines}"), "out"), ["x", "out"], "{lines}");
    }
    unified > 0
}

#[test]
fn a_gelu_is_written_as_the_converter_knows_it() {
    let known = [
        format!("{BY_ERF}\nhalved = Mul(half, x)\nout = Mul(halved, sum)"),
        format!("{BY_TANH}\nhalved = Mul(x, half)\nout = Mul(halved, sum)"),
    ];
    for lines in known {
        assert!(!is_rewritten(&lines), "{lines}");
    }
    let others = [
        format!("{BY_ERF}\nhalved = Mul(half, sum)\nout = Mul(x, halved)"),
        format!("{BY_ERF}\nproduct = Mul(x, sum)\nout = Mul(product, half)"),
        format!("{BY_ERF}\nproduct = Mul(x, sum)\nout = RealDiv(product, two)"),
        format!("{BY_ERF}\nhalved = Mul(half, x)\nout = Mul(sum, halved)"),
        format!("{BY_TANH}\nhalved = Mul(half, sum)\nout = Mul(x, halved)"),
        "negated = Neg(x)\nscaled = Mul(negated, part)\ncurve = Erfc(scaled)\nhalved = Mul(half, x)\nout = Mul(halved, curve)"
            .to_owned(),
        "square = Mul(x, x)\ncube = Mul(square, x)\ncubic = Mul(small, cube)\nadded = AddV2(x, cubic)\n\
         scaled = Mul(steep, added)\ncurve = Tanh(scaled)\nsum = AddV2(one, curve)\nhalved = Mul(half, x)\n\
         out = Mul(halved, sum)"
            .to_owned(),
    ];
    for lines in others {
        assert!(is_rewritten(&lines), "{lines}");
    }
}

#[test]
fn what_is_read_inside_is_no_gelu() {
    let lines =
        format!("{NUMBERS}\n{BY_ERF}\nhalved = Mul(half, sum)\nproduct = Mul(x, halved)\nout = AddV2(product, sum)");
    assert_eq!(unify(&mut graph_of(&lines), &Limits::default()).unwrap(), 0);
    let other = format!("{NUMBERS}\n{BY_ERF}\nhalved = Mul(one, sum)\nout = Mul(x, halved)");
    assert_eq!(unify(&mut graph_of(&other), &Limits::default()).unwrap(), 0, "one is no half");
}

#[test]
fn a_vector_of_length_one_has_the_range_of_its_kernel_and_a_squared_difference_none_inside() {
    let l2 = |axis: &str| {
        format!(
            "x = Placeholder [1,4,4,2]
             axis = Const {axis}
             tiny = Const 1e-12
             square = Square(x)
             sum = Sum(square, axis) keep_dims=true
             bounded = Maximum(sum, tiny)
             root = Rsqrt(bounded)
             out = Mul(x, root)"
        )
    };
    assert_eq!(ranged(&l2("[3]i"), "out"), ["x"]);
    let difference = "x = Placeholder [1,4,4,2]
        w = Const [1,1,2,2]
        conv = Conv2D(x, w)
        difference = Sub(x, conv)
        out = Square(difference)";
    assert_eq!(ranged(difference, "out"), ["x", "conv", "out"]);
}
