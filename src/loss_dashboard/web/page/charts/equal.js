"use strict";
// The weight that each loss would have if all were equal.

// Null where there is no one answer: runs or scopes may weigh in sums of their own.
function equalWeight(model, views) {
  if (model.key !== "weight" || model.stacked || !model.lines.length) return null;
  const each = views.flatMap((view) => scopesOf(view).map((curves) => lastMean(curves))).filter((one) => one !== null);
  return each.length && each.every((one) => Math.abs(one - each[0]) <= 0.01 * Math.abs(each[0])) ? each[0] : null;
}

// The weights of losses that are weighed against each other: those of a scope, and the rest.
function scopesOf(view) {
  const scopes = new Map();
  for (const { name, of } of view.losses) {
    if (of) continue; // a validation is weighed against nothing
    const weights = view.curves.each[name]?.weight ?? [], scope = name.slice(0, Math.max(0, name.lastIndexOf("/")));
    if (weights.some(isNumber)) scopes.set(scope, [...(scopes.get(scope) ?? []), weights]);
  }
  const many = [...scopes.values()].filter((curves) => curves.length > 1);
  const rest = [...scopes.values()].filter((curves) => curves.length === 1).flat();
  return rest.length > 1 ? [...many, rest] : many;
}

// Where all were last weighed together: of a loss that stopped the last weight is of another time.
function lastMean(curves) {
  for (let at = curves[0].length - 1; at >= 0; at--) {
    if (curves.every((weights) => isNumber(weights[at]))) return curves.reduce((sum, weights) => sum + weights[at], 0) / curves.length;
  }
  return null;
}
