export async function steps() {}
