//! Functional conditionals and loops as Switch and Merge, Enter, Exit and NextIteration.
//!
//! TensorFlow lowers them before it runs a graph, and `convert_variables_to_constants_v2` does in what it freezes. Kept as
//! functions, they would hide the layers inside from every pass, and their weights, which then are arguments, with them;
//! lowered, a layer in a branch or a loop is a node like others, and its weights are a constant behind a Switch or an
//! Enter.
//!
//! In a branch or a loop a node without inputs has to be told when to run: [`super::prune`] makes it wait for the pivot
//! of its region. The names are those of TensorFlow 1's `tf.cond` and `tf.while_loop`.

use super::flat::{Flat, Ref, is_resource};
use super::inline::{Callee, Inliner};
use super::library;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::name::leaf;
use crate::proto::tensorflow::DataType;
use crate::wire;

const BOOL: i32 = DataType::DtBool as i32;

/// One decision: every tensor in two versions, of which only one comes to be.
struct Fork {
    /// The Switch of each tensor; its second output is the true one.
    switches: Vec<u32>,
    then: u32,
    otherwise: u32,
}

impl Fork {
    fn then_args(&self) -> Vec<Ref> {
        self.switches.iter().map(|&switch| Ref::output(switch, 1)).collect()
    }

    fn else_args(&self) -> Vec<Ref> {
        self.switches.iter().map(|&switch| Ref::output(switch, 0)).collect()
    }
}

impl<'a> Inliner<'a, '_> {
    /// `If`: the predicate, then the arguments of both branches.
    pub(super) fn lower_if(&mut self, node: u32, then: Callee<'a>, otherwise: Callee<'a>) -> Result<Vec<Ref>> {
        let args: Vec<Ref> = self.flat.nodes[node as usize].data_inputs().collect();
        let (&predicate, args) = args.split_first().ok_or_else(|| self.broken(node))?;
        let predicate = self.as_bool(node, predicate, "Tcond")?;
        let (args, types) = self.typed(node, args, "Tin")?;
        let region = self.flat.nodes[node as usize].region;
        let fork = self.fork(node, predicate, &args, &types, region)?;
        let returned = self.branch(node, then, &fork.then_args(), "then", fork.then)?;
        let other = self.branch(node, otherwise, &fork.else_args(), "else", fork.otherwise)?;
        self.merge(node, predicate, [&other, &returned], region)
    }

    /// `Case`: the number of a branch, then the arguments of all. A number that no branch has means the last one.
    pub(super) fn lower_case(&mut self, node: u32, branches: &[Callee<'a>]) -> Result<Vec<Ref>> {
        let inputs: Vec<Ref> = self.flat.nodes[node as usize].data_inputs().collect();
        let (&number, args) = inputs.split_first().ok_or_else(|| self.broken(node))?;
        let (last, others) = branches.split_last().ok_or_else(|| self.broken(node))?;
        let (mut args, mut types) = self.typed(node, args, "Tin")?;
        args.push(number);
        types.push(DataType::DtInt32 as i32);
        let name = self.flat.nodes[node as usize].name.clone();
        let mut region = self.flat.nodes[node as usize].region;
        let mut taken = Vec::new();
        for (place, &branch) in others.iter().enumerate() {
            let mut attrs = Attrs::default();
            let place_number = i32::try_from(place).unwrap_or(i32::MAX);
            attrs.data_type("dtype", DataType::DtInt32).tensor("value", &Tensor::Int32(place_number));
            let constant = self.flat.make(&format!("{name}/Equal/y"), "Const", Vec::new(), &attrs, region)?;
            let equal = self.flat.make(
                &format!("{name}/Equal"),
                "Equal",
                vec![args[args.len() - 1], Ref::output(constant, 0)],
                &Flat::typed(DataType::DtInt32 as i32),
                region,
            )?;
            let fork = self.fork(node, Ref::output(equal, 0), &args, &types, region)?;
            let branch_args = fork.then_args();
            let returned =
                self.branch(node, branch, &branch_args[..branch_args.len() - 1], &format!("branch{place}"), fork.then)?;
            taken.push((Ref::output(equal, 0), returned, region));
            args = fork.else_args();
            region = fork.otherwise;
        }
        let scope = format!("branch{}", others.len());
        let mut result = self.branch(node, *last, &args[..args.len() - 1], &scope, region)?;
        for (predicate, returned, region) in taken.into_iter().rev() {
            result = self.merge(node, predicate, [&result, &returned], region)?;
        }
        Ok(result)
    }

    fn fork(&mut self, node: u32, predicate: Ref, args: &[Ref], types: &[i32], region: u32) -> Result<Fork> {
        let name = self.flat.nodes[node as usize].name.clone();
        let switch = self.switch(&name, predicate, predicate, BOOL, region)?;
        let pivot = |flat: &mut Flat<'a>, leaf: &str, port| {
            let pivot = flat.make(
                &format!("{name}/{leaf}"),
                "Identity",
                vec![Ref::output(switch, port)],
                &Flat::typed(BOOL),
                region,
            )?;
            Ok::<_, crate::error::Error>(flat.region(pivot))
        };
        let (then, otherwise) = (pivot(&mut self.flat, "switch_t", 1)?, pivot(&mut self.flat, "switch_f", 0)?);
        let mut switches = Vec::with_capacity(args.len());
        for (&arg, &data_type) in args.iter().zip(types) {
            switches.push(self.switch(&name, arg, predicate, data_type, region)?);
        }
        Ok(Fork { switches, then, otherwise })
    }

    fn switch(&mut self, name: &str, data: Ref, predicate: Ref, data_type: i32, region: u32) -> Result<u32> {
        let name = format!("{name}/Switch");
        self.flat.make(&name, "Switch", vec![data, predicate], &Flat::typed(data_type), region)
    }

    /// Puts a branch or a part of a loop in place. Exporters begin the names in it with the name of its node.
    fn branch(&mut self, node: u32, callee: Callee<'a>, args: &[Ref], part: &str, region: u32) -> Result<Vec<Ref>> {
        let name = &self.flat.nodes[node as usize].name;
        let (scope, strip) = (format!("{name}/{part}/"), format!("{}/", leaf(name)));
        self.open(callee, args, &scope, &strip, region)
    }

    fn merge(&mut self, node: u32, predicate: Ref, [otherwise, then]: [&[Ref]; 2], region: u32) -> Result<Vec<Ref>> {
        let types = self.types(node, "Tout");
        if otherwise.len() != then.len() || types.len() != then.len() {
            return Err(self.broken(node));
        }
        let name = format!("{}/Merge", self.flat.nodes[node as usize].name);
        let mut merges = Vec::with_capacity(then.len());
        for ((&otherwise, &then), data_type) in otherwise.iter().zip(then).zip(types) {
            if let (Some(then), Some(otherwise)) = (self.constant(then), self.constant(otherwise))
                && self.shape(then) == self.shape(otherwise)
            {
                merges.push(self.select(node, predicate, [then, otherwise], region)?);
                continue;
            }
            let merge = self.flat.make(&name, "Merge", vec![otherwise, then], &merge_attrs(data_type), region)?;
            merges.push(Ref::output(merge, 0));
        }
        Ok(merges)
    }

    /// The Const that a branch returns, if that is what it does.
    fn constant(&self, returned: Ref) -> Option<u32> {
        let node = &self.flat.nodes[returned.index()];
        match (&*node.op, node.forwards.as_deref()) {
            ("Const", _) => Some(returned.node),
            (_, Some(&[forward])) => (self.flat.nodes[forward.index()].op == "Const").then_some(forward.node),
            _ => None,
        }
    }

    /// The shape of a Const, as it is written.
    fn shape(&self, constant: u32) -> Option<&[u8]> {
        const TENSOR: u32 = 8;
        const TENSOR_SHAPE: u32 = 2;
        let value = self.flat.nodes[constant as usize].attr("value")?;
        let tensor = &value[wire::last_bytes(value, TENSOR)?];
        Some(wire::last_bytes(tensor, TENSOR_SHAPE).map_or(&[], |shape| &tensor[shape]))
    }

    /// One of two constants of one shape, outside of the branches that return them: there is nothing to run in either, and
    /// OpenVINO takes no Merge that no Switch leads to.
    fn select(&mut self, node: u32, predicate: Ref, constants: [u32; 2], region: u32) -> Result<Ref> {
        let mut inputs = vec![predicate];
        for constant in constants {
            let mut copy = self.flat.nodes[constant as usize].clone();
            copy.name = self.flat.claim(copy.name);
            (copy.region, copy.inputs) = (region, Vec::new());
            inputs.push(Ref::output(self.flat.push(copy)?, 0));
        }
        let data_type = self.flat.nodes[constants[0] as usize].attr_type("dtype").unwrap_or(0);
        let name = format!("{}/SelectV2", self.flat.nodes[node as usize].name);
        Ok(Ref::output(self.flat.make(&name, "SelectV2", inputs, &Flat::typed(data_type), region)?, 0))
    }

    /// `While`: the loop's variables. Handles stay what they are from round to round.
    pub(super) fn lower_while(&mut self, node: u32, cond: Callee<'a>, body: Callee<'a>) -> Result<Vec<Ref>> {
        let inputs: Vec<Ref> = self.flat.nodes[node as usize].data_inputs().collect();
        let (inputs, types) = self.typed(node, &inputs, "T")?;
        let (name, region) = (self.flat.nodes[node as usize].name.clone(), self.flat.nodes[node as usize].region);
        let iterations = self.flat.nodes[node as usize].attr_int("parallel_iterations").unwrap_or(10);
        let mut loop_vars = Vec::with_capacity(inputs.len());
        for (&input, &data_type) in inputs.iter().zip(&types) {
            let is_constant = is_resource(data_type);
            let mut attrs = Attrs::default();
            attrs.type_number("T", data_type).str("frame_name", &name).bool("is_constant", is_constant);
            attrs.int("parallel_iterations", iterations);
            let enter = self.flat.make(&format!("{name}/Enter"), "Enter", vec![input], &attrs, region)?;
            let start = Ref::output(enter, 0);
            let in_loop = if is_constant {
                start
            } else {
                // The second input comes from the NextIteration that is still to be made.
                let name = format!("{name}/Merge");
                Ref::output(self.flat.make(&name, "Merge", vec![start, start], &merge_attrs(data_type), region)?, 0)
            };
            loop_vars.push(in_loop);
        }
        let changing: Vec<usize> = (0..types.len()).filter(|&place| !is_resource(types[place])).collect();
        let Some(&first) = changing.first() else { return Err(self.broken(node)) };

        let cond_region = self.flat.region(loop_vars[first].node);
        let goes_on = self.branch(node, cond, &loop_vars, "cond", cond_region)?;
        let goes_on = *goes_on.first().ok_or_else(|| self.broken(node))?;
        let loop_cond =
            self.flat.make(&format!("{name}/LoopCond"), "LoopCond", vec![goes_on], &Attrs::default(), region)?;
        let loop_cond = Ref::output(loop_cond, 0);

        let mut switches = loop_vars.clone();
        for &place in &changing {
            switches[place] = Ref::output(self.switch(&name, loop_vars[place], loop_cond, types[place], region)?, 1);
        }
        let pivot = self.flat.make(
            &format!("{name}/pivot"),
            "Identity",
            vec![switches[first]],
            &Flat::typed(types[first]),
            region,
        )?;
        let body_region = self.flat.region(pivot);
        let returned = self.branch(node, body, &switches, "body", body_region)?;
        if returned.len() != types.len() {
            return Err(self.broken(node));
        }
        let mut results = inputs;
        for &place in &changing {
            let attrs = Flat::typed(types[place]);
            let name_of = |op: &str| format!("{name}/{op}");
            let next =
                self.flat.make(&name_of("NextIteration"), "NextIteration", vec![returned[place]], &attrs, region)?;
            self.flat.nodes[loop_vars[place].index()].inputs[1] = Ref::output(next, 0);
            let leaves = Ref::output(switches[place].node, 0);
            results[place] = Ref::output(self.flat.make(&name_of("Exit"), "Exit", vec![leaves], &attrs, region)?, 0);
        }
        Ok(results)
    }

    fn as_bool(&mut self, node: u32, predicate: Ref, type_attr: &str) -> Result<Ref> {
        let conditional = &self.flat.nodes[node as usize];
        let (name, region) = (format!("{}/ToBool", conditional.name), conditional.region);
        let data_type = conditional.attr_type(type_attr).unwrap_or(BOOL);
        if data_type == BOOL {
            return Ok(predicate);
        }
        Ok(Ref::output(self.flat.make(&name, "ToBool", vec![predicate], &Flat::typed(data_type), region)?, 0))
    }

    fn types(&self, node: u32, attr: &str) -> Vec<i32> {
        self.flat.nodes[node as usize].attr(attr).map(library::type_list).unwrap_or_default()
    }

    fn typed(&self, node: u32, args: &[Ref], attr: &str) -> Result<(Vec<Ref>, Vec<i32>)> {
        let types = self.types(node, attr);
        if types.len() == args.len() { Ok((args.to_vec(), types)) } else { Err(self.broken(node)) }
    }

    fn broken(&self, node: u32) -> crate::error::Error {
        self.flat.nodes[node as usize]
            .error(ErrorKind::InvalidGraph, "its types, inputs and functions do not belong together")
            .hint("export the model again")
    }
}

fn merge_attrs(data_type: i32) -> Attrs {
    let mut attrs = Attrs::default();
    attrs.int("N", 2).type_number("T", data_type);
    attrs
}
