//! What is left of the list of nodes: reads go past calls to what the bodies return, nodes without inputs wait for the
//! pivot of their branch or loop, and what no output needs is dropped.

use super::flat::{CONTROL, Flat, Ref};
use crate::error::{Error, ErrorKind, Result};

/// Makes every input read what it will read when there are no calls any more.
///
/// # Errors
/// [`ErrorKind::InvalidGraph`] if a call passes on its own result.
pub(super) fn resolve(flat: &mut Flat<'_>) -> Result<()> {
    for node in 0..flat.nodes.len() {
        if flat.nodes[node].forwards.is_some() {
            continue;
        }
        let mut resolved = std::mem::take(&mut flat.nodes[node].inputs);
        if resolved.iter().any(|input| flat.nodes[input.index()].forwards.is_some()) {
            let inputs = std::mem::take(&mut resolved);
            for input in inputs {
                if input.is_control() {
                    let others = controls(flat, input)?;
                    resolved.extend(others.into_iter().filter(|other| other.node as usize != node));
                } else {
                    resolved.push(target(flat, input)?);
                }
            }
        }
        let pivot = flat.pivots[flat.nodes[node].region as usize];
        if let Some(pivot) = pivot.filter(|_| resolved.is_empty()) {
            resolved.push(Ref::control(pivot));
        }
        flat.nodes[node].inputs = resolved;
    }
    Ok(())
}

/// The tensor that is read in the end.
pub(super) fn target(flat: &mut Flat<'_>, from: Ref) -> Result<Ref> {
    let mut passed = Vec::new();
    let mut at = from;
    while let Some(forwards) = &flat.nodes[at.index()].forwards {
        if passed.len() > flat.nodes.len() {
            return Err(flat.nodes[at.index()].error(ErrorKind::InvalidGraph, "a cycle of calls"));
        }
        passed.push(at);
        at = *forwards.get(at.port as usize).ok_or_else(|| no_output(flat, at))?;
        if passed.last() == Some(&at) {
            return Err(flat.nodes[at.index()].error(ErrorKind::InvalidGraph, "a call that passes on its own result"));
        }
    }
    // The next one to come along goes straight there.
    for passed in passed {
        if let Some(forward) =
            flat.nodes[passed.index()].forwards.as_mut().and_then(|forwards| forwards.get_mut(passed.port as usize))
        {
            *forward = at;
        }
    }
    Ok(at)
}

fn no_output(flat: &Flat<'_>, tensor: Ref) -> Error {
    let what = format!("its output {} is read, and it has not so many", tensor.port);
    flat.nodes[tensor.index()].error(ErrorKind::InvalidGraph, what).hint("export the model again")
}

/// The nodes to wait for in place of one: for a call, those that make what it returns.
fn controls(flat: &mut Flat<'_>, control: Ref) -> Result<Vec<Ref>> {
    let outputs = match &flat.nodes[control.index()].forwards {
        None => return Ok(vec![control]),
        Some(forwards) => forwards.len(),
    };
    let mut others = Vec::new();
    for port in 0..outputs {
        let port = u32::try_from(port).unwrap_or(CONTROL);
        others.push(Ref::control(target(flat, Ref::output(control.node, port))?.node));
    }
    others.sort_unstable();
    others.dedup();
    Ok(others)
}

/// The nodes that the wanted ones need, those included: in the order of the list, or, where bodies were put in place,
/// each behind what it reads as far as loops allow.
pub(super) fn needed(flat: &Flat<'_>, wanted: &[u32], in_order_of_use: bool) -> Vec<u32> {
    let mut order = Vec::new();
    let mut seen = vec![false; flat.nodes.len()];
    let mut open: Vec<(u32, usize)> = Vec::new();
    for &node in wanted {
        if !std::mem::replace(&mut seen[node as usize], true) {
            open.push((node, 0));
        }
        while let Some((node, slot)) = open.last_mut() {
            if let Some(input) = flat.nodes[*node as usize].inputs.get(*slot) {
                *slot += 1;
                if !std::mem::replace(&mut seen[input.index()], true) {
                    open.push((input.node, 0));
                }
            } else {
                order.push(*node);
                open.pop();
            }
        }
    }
    if !in_order_of_use {
        order.sort_unstable();
    }
    order
}
