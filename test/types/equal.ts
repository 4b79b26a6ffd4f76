/** Whether two types are the same, which `extends` both ways does not tell of `any`. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only for `true`: `same<Equal<typeof order, Order>>()`. */
export function same<Same extends true>(..._: Same[]): void {}
