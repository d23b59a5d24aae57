/** The functions of a disassembly that hold fused multiply-adds, as `name: count`. */
export function fusedFunctions(disassembly: string): string[];
