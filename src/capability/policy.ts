/** Which operation a grant allows: the same few lines of Datalog for every token. */

/**
 * A grant's columns are sets, and one grant has to match in all of them. `check all` would pass where there is nothing
 * to check, and a rule for each column would let one grant lend its model to the endpoint of another.
 */
const policies: readonly string[] = [
  `allow if operation("inference"), inference($e, $m, $a, $t), grant_inference($E, $M, $A, $T),
     $E.contains($e) || $E.contains("*"), $M.intersection($m).length() > 0 || $M.contains("*"),
     $A.contains($a) || $A.contains("*"), $T.contains($t) || $T.contains("*")`,
  `allow if operation("list"), endpoint($e), grant_inference($E, $M, $A, $T), $E.contains($e) || $E.contains("*")`,
  `allow if operation("metrics"), grant_scope("metrics")`,
  `allow if operation("admin"), grant_scope("admin")`,
  `allow if operation("sql"), sql($d, $v, $t, $c), grant_sql($D, $V, $T, $C),
     $D.contains($d), $V.contains($v), $T.contains($t), $C.contains($c) || $C.contains("*")`,
  `allow if operation("connect"), connect($p, $h, $n), grant_connect($P, $H, $N),
     $P.contains($p), $H.contains($h), $N.contains($n)`,
  `allow if operation("file"), file($m, $p), grant_file($M, $P),
     $M.contains($m), $P.any($f -> $p == $f || $p.starts_with($f + "/"))`,
  `allow if operation("syscall"), syscall($s), grant_syscall($S), $S.contains($s)`,
  "deny if true",
];

export const policyCode: string = policies.map((policy) => `${policy};\n`).join("");
