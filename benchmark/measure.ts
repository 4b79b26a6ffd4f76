/** The process that is measured: runs one workload with the parameters it is given, and prints what it measured. */
import {loadWorkload, type WorkloadName} from './workloads/index.ts';

/** What the process is given, as JSON. */
export type Task = {workload: WorkloadName; parameters: unknown; directory: string};

const {workload, parameters, directory} = JSON.parse(process.argv[2]!) as Task;
const {measure} = await loadWorkload(workload);
console.log(JSON.stringify(await measure(parameters, directory)));
