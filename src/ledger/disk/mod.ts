export type { Disk } from "./disk.ts";
export { FolderDisk } from "./folder-disk.ts";
