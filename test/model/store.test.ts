import { storeContract } from "../contract/store.ts";
import { asStore, makeDocuments } from "./store.ts";

storeContract("the store in memory", async () => asStore(makeDocuments(Date.now)));
